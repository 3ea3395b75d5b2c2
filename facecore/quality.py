"""What a face is worth: four components, their weighted sum, and the class of its pose."""

from typing import Literal

from facecore.geometry import Box
from schemas.observations import Angles, QualityScore

SIZE_ANCHORS = ((80.0, 0.25), (250.0, 1.0))
"""Shorter side of the box in pixels of the source → score; a straight line through both, kept within 0-1."""
POSE_ANCHORS = ((0.0, 1.0), (45.0, 0.25))
"""Larger of |yaw| and |pitch| in degrees → score; likewise."""
OCCLUDED = 0.25
"""Score of a face that is occluded for certain; one that is not has 1."""
WEIGHTS = QualityScore(size=0.35, pose=0.20, occlusion=0.20, sharpness=0.25)
FRONT = 15.0
"""Degrees of yaw and of roll within which a face is frontal."""

PoseClass = Literal["front", "left", "right", "front-rotate-left", "front-rotate-right"]


def size_score(box: Box) -> float:
    """0-1 from a box in pixels of the source frame."""
    return _line(min(box[2] - box[0], box[3] - box[1]), SIZE_ANCHORS)


def pose_score(angles: Angles) -> float:
    """0-1; roll does not count, since alignment undoes it."""
    return _line(max(abs(angles.yaw), abs(angles.pitch)), POSE_ANCHORS)


def occlusion_score(probability: float | None) -> float:
    """0-1 from the probability that the face is occluded; 1 when no model was there to tell."""
    return 1.0 - (1.0 - OCCLUDED) * (probability or 0.0)


def composite(quality: QualityScore) -> float:
    """Weighted sum of the components, 0-1."""
    return (
        WEIGHTS.size * quality.size
        + WEIGHTS.pose * quality.pose
        + WEIGHTS.occlusion * quality.occlusion
        + WEIGHTS.sharpness * quality.sharpness
    )


def pose_class(angles: Angles) -> PoseClass:
    """left: yaw < -15°; with both yaw and roll large, yaw wins."""
    if abs(angles.yaw) > FRONT:
        return "left" if angles.yaw < 0 else "right"
    if abs(angles.roll) > FRONT:
        return "front-rotate-left" if angles.roll < 0 else "front-rotate-right"
    return "front"


def _line(value: float, anchors: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (x0, y0), (x1, y1) = anchors
    return min(1.0, max(0.0, y0 + (value - x0) * (y1 - y0) / (x1 - x0)))
