"""Workers: the stages, one module each, and the stream runtime that they run on."""
