"""Stages, one module each: how the workers of a consumer group handle a message."""
