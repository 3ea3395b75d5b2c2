"""Data on the Redis server (jobs, results, collections, API keys) and the Lua scripts that change it."""
