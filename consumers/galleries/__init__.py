"""Collections of known people: replicas in the memory of a worker, and removing erased people from results."""
