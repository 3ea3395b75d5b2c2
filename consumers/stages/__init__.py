"""The stages, one module each: what a worker of each consumer group does with a message."""
