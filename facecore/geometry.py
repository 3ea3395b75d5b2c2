"""Axis-aligned boxes: area, overlap, resizing around the centre."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels."""

_SMALLEST = np.finfo(np.float32).tiny  # keeps boxes without area from dividing by zero


def area(boxes: ArrayLike) -> NDArray[np.floating]:
    """Returns the area of each box: (..., 4) → (...), square pixels."""
    corners = np.asarray(boxes)
    sides = corners[..., 2:] - corners[..., :2]
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(one: ArrayLike, other: ArrayLike) -> NDArray[np.floating]:
    """Returns the intersection over union of boxes, 0-1; (..., 4) each, broadcast against each other."""
    a, b = np.asarray(one), np.asarray(other)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    return np.asarray(shared / np.maximum(area(a) + area(b) - shared, _SMALLEST))


def widened(box: Box, factor: float) -> Box:
    """Returns the box around the same centre with both sides multiplied."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = (box[2] - box[0]) * factor / 2, (box[3] - box[1]) * factor / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def squared(box: Box, factor: float) -> Box:
    """Returns the square around the same centre whose side is ``factor`` times the longer side."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = max(box[2] - box[0], box[3] - box[1]) * factor / 2
    return x - half, y - half, x + half, y + half


def clipped(box: Box, width: int, height: int) -> Box:
    """Returns the part of the box inside a picture of this size."""
    x_min, y_min, x_max, y_max = box
    return max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width)), min(y_max, float(height))
