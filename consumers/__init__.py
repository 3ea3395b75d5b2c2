"""The stages, one module each, and the stream runtime they run on."""
