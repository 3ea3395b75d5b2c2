"""Face quality: four components 0-1 and their weighted sum; also the class of the head pose."""

from typing import Literal

from facecore.geometry import Box
from schemas.observations import Angles, QualityScore

SIZE_ANCHORS = ((80.0, 0.25), (250.0, 1.0))
"""Two points (shorter side of the box in source pixels, score); linear between and beyond them, clamped to 0-1."""
POSE_ANCHORS = ((0.0, 1.0), (45.0, 0.25))
"""Two points (larger of |yaw| and |pitch| in degrees, score); linear likewise."""
OCCLUDED_SCORE = 0.25
"""Score at an occlusion probability of 1; at 0 it is 1."""
WEIGHTS = QualityScore(size=0.35, pose=0.20, occlusion=0.20, sharpness=0.25)
"""Weights of the components; their sum is 1."""
FRONTAL_MAX_DEGREES = 15.0
"""Largest yaw and roll of a frontal face."""

PoseClass = Literal["front", "left", "right", "front-rotate-left", "front-rotate-right"]


def size_score(box: Box) -> float:
    """Returns the size component, 0-1, of a box in source pixels."""
    return _linear(min(box[2] - box[0], box[3] - box[1]), SIZE_ANCHORS)


def pose_score(angles: Angles) -> float:
    """Returns the pose component, 0-1. Roll does not count: alignment removes it."""
    return _linear(max(abs(angles.yaw), abs(angles.pitch)), POSE_ANCHORS)


def occlusion_score(probability: float | None) -> float:
    """Returns the occlusion component, 0-1, for a probability of occlusion; 1 without a model."""
    return 1.0 - (1.0 - OCCLUDED_SCORE) * (probability or 0.0)


def composite(quality: QualityScore) -> float:
    """Returns the weighted sum of the components, 0-1."""
    return (
        WEIGHTS.size * quality.size
        + WEIGHTS.pose * quality.pose
        + WEIGHTS.occlusion * quality.occlusion
        + WEIGHTS.sharpness * quality.sharpness
    )


def pose_class(angles: Angles) -> PoseClass:
    """Returns the pose class; if both yaw and roll exceed 15°, yaw decides."""
    if abs(angles.yaw) > FRONTAL_MAX_DEGREES:
        return "left" if angles.yaw < 0 else "right"
    if abs(angles.roll) > FRONTAL_MAX_DEGREES:
        return "front-rotate-left" if angles.roll < 0 else "front-rotate-right"
    return "front"


def _linear(value: float, anchors: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (x0, y0), (x1, y1) = anchors
    return min(1.0, max(0.0, y0 + (value - x0) * (y1 - y0) / (x1 - x0)))
