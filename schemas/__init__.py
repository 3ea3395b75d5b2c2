"""The contract between processes: requests, messages, results, names of keys and streams, topology, settings."""
