"""Embeddings as bytes: little-endian 32-bit floats. `facecore.vectors` is the counterpart with NumPy."""

import sys
from array import array
from collections.abc import Iterable

DIMENSIONS = 512
"""Length of an embedding."""


def packed(embedding: Iterable[float]) -> bytes:
    """Returns the numbers as little-endian 32-bit floats."""
    numbers = array("f", embedding)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
