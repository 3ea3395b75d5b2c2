"""Memory that the collector of cycles would find late.

A container of PyAV and its streams refer to each other, so a decoder with its pictures goes only when the collector
runs, and that counts objects, not bytes: a frames worker kept decoders of dozens of jobs, 300 MB instead of 120.
"""

import gc


def settle() -> None:
    """When a stage has begun: what is there will stay, and the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def release_decoders() -> None:
    """After a file is closed; half a millisecond where `settle` was called."""
    gc.collect()
