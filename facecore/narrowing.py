"""Narrows what was seen in a picture to what a stricter analysis of it sees, to the bit."""

import math

import msgspec
import numpy as np

from facecore.align import Points
from schemas.observations import FrameFaces


def passing(confidences: Points, threshold: float) -> int:
    """Returns how many detections, those with the highest confidences, pass a threshold."""
    return int((confidences >= threshold).sum())


def as_rejected(confidences: Points) -> tuple[float, ...]:
    """Returns confidences as they are reported of rejected detections: rounded down to two decimals, so that a
    threshold of such a value keeps the face."""
    return tuple(math.floor(100 * float(value)) / 100 for value in confidences)


def narrowed(seen: FrameFaces, min_confidence: float) -> FrameFaces:
    """Returns what an analysis with a higher threshold sees.

    Args:
        seen: with a ``min_confidence`` that is no higher.
        min_confidence: lowest confidence of a detection, 0-1.
    """
    confidences = np.array([face.confidence for face in seen.faces], np.float32)
    count = passing(confidences, min_confidence)
    faces, rejected = seen.faces[:count], as_rejected(confidences[count:])
    return msgspec.structs.replace(
        seen,
        faces=faces,
        low_confidence=len(rejected) + seen.low_confidence,
        rejected_confidences=rejected + seen.rejected_confidences,
        provenance=msgspec.structs.replace(seen.provenance, min_confidence=min_confidence),
    )
