"""Warns when a threshold of a request rejects most of the faces that were seen."""

import math
from collections.abc import Sequence

from facecore.quality import composite
from schemas.observations import FrameFaces

LIKELY_FACE = 0.5
"""Confidence from which a rejected detection counts as a face: it is more likely one than not."""
KEPT_SHARE = 0.9
"""Share of the rejected faces that the threshold which a warning proposes would keep."""


def rejection_warnings(frames: Sequence[FrameFaces], min_quality: float) -> list[str]:
    """Returns a warning for each threshold that rejects more than half of the faces, and for any that leaves no face.

    Args:
        frames: not empty.
        min_quality: the threshold in force.
    """
    warnings = []
    min_confidence = frames[0].provenance.min_confidence
    faces = [face for frame in frames for face in frame.faces]
    doubted = [confidence for frame in frames for confidence in frame.rejected_confidences]
    likely = [confidence for confidence in doubted if confidence >= LIKELY_FACE]
    if len(likely) > len(faces):
        warnings.append(_rejected("min_confidence", min_confidence, likely, len(faces)))
    elif doubted and not faces:
        warnings.append(
            f"No detection reaches min_confidence {min_confidence:g}: {_detections(len(doubted))} rejected, the "
            f"most confident with {max(doubted):.2f}."
        )
    poor = [quality for quality in (composite(face.quality) for face in faces) if quality < min_quality]
    if 2 * len(poor) > len(faces):
        warnings.append(_rejected("min_quality", min_quality, poor, len(faces) - len(poor)))
    if warnings and len(faces) == len(poor):
        seen = "Faces were seen" if faces or likely else "No certain face was seen"
        warnings[0] = f"{seen}; all detections were rejected. {warnings[0]}"
    return warnings


def _rejected(name: str, threshold: float, values: list[float], kept: int) -> str:
    """Returns the warning about a threshold, with a lower one that keeps most of the rejected faces."""
    ordered = sorted(values, reverse=True)
    last = ordered[math.ceil(KEPT_SHARE * len(ordered)) - 1]
    proposed = math.floor(100 * last) / 100
    keeps = sum(value >= proposed for value in values)
    return (
        f"{name} {threshold:g} rejected {len(values)} of {len(values) + kept} faces; "
        f"{name} {proposed:g} would keep {keeps} of these {len(values)}."
    )


def _detections(number: int) -> str:
    return "1 detection was" if number == 1 else f"{number} detections were"
