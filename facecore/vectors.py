"""Embeddings as NumPy arrays: packing to bytes, length, cosine similarity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.vectors import DIMENSIONS

_SMALLEST = np.finfo(np.float32).tiny  # keeps a vector of zeros from dividing by zero


def to_bytes(vector: NDArray[np.floating[Any]]) -> bytes:
    """Returns a vector as little-endian 32-bit floats, as `schemas.vectors.packed` does."""
    return vector.astype("<f4").tobytes()


def from_bytes(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    """Returns packed embeddings as the rows of a matrix, (n, 512)."""
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), DIMENSIONS).astype(np.float32)


def lengths(vectors: NDArray[Any]) -> NDArray[Any]:
    """Returns the Euclidean length of each row, (n, d) → (n,), never 0."""
    return np.asarray(np.maximum(np.linalg.norm(vectors, axis=1), _SMALLEST))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Returns one vector, (d,), or the rows of a matrix, (n, d), scaled to length 1."""
    axis = None if vectors.ndim == 1 else 1
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=axis, keepdims=True), _SMALLEST))


def cosine(one: bytes, other: bytes) -> float:
    """Returns the cosine similarity of two packed embeddings, -1 to 1, computed in double precision."""
    a, b = from_bytes([one, other]).astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
