"""Libraries in the memory of a worker: the view that follows from a log, and the one writer."""
