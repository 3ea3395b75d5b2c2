"""Builds faces without pictures, with any embedding and box."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.observations import Angles, FrameFaces, ObservedFace, Provenance, QualityScore

PROVENANCE = Provenance(
    pack="open", detector="d", embedder="e", providers=("CPUExecutionProvider",), sharpness="sobel",
    occlusion=None, min_confidence=0.5,
)  # fmt: skip


def person(number: int, noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """An embedding of person ``number``; persons are orthogonal, noise turns the vector away from its person."""
    vector = np.zeros(512)
    vector[number] = 1.0
    other = np.random.default_rng(seed).normal(size=512)
    return (3 * (vector + noise * other / np.linalg.norm(other))).astype(np.float32)


def face(
    embedding: NDArray[np.float32], x: float = 100.0, quality: float = 0.8, **values: Any
) -> ObservedFace:
    made = ObservedFace(
        box=(x, 100.0, x + 120.0, 250.0),
        confidence=0.9,
        landmarks=(x + 30, 150.0, x + 90, 150.0, x + 60, 180.0, x + 40, 220.0, x + 80, 220.0),
        embedding=embedding.astype("<f4").tobytes(),
        angles=Angles(0.0, 0.0, 0.0),
        native_angles=True,
        quality=QualityScore(quality, quality, quality, quality),
    )
    return msgspec.structs.replace(made, **values)


def frame(index: int, faces: Sequence[ObservedFace], interval: float = 1.0) -> FrameFaces:
    return FrameFaces(
        index=index, timestamp=index * interval, width=1280, height=720, faces=tuple(faces),
        detector_size=640, low_confidence=1, provenance=PROVENANCE,
    )  # fmt: skip
