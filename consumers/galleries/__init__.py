"""Collections of known people in the memory of a worker, and erasing people from results."""
