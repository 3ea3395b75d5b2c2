"""The people of a library: which faces of all its films are one person."""
