"""How the processes are put together: launcher, command line, containers."""
