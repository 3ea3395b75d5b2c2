"""The contract between the processes: requests, messages, results, names, settings, the job record."""
