"""What lies in the Redis server (jobs, results, collections, keys) and the scripts that change it."""
