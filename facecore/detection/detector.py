"""What all detectors share: the canvas a picture is fitted into, overlap, and back to the picture's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import Image, Points
from facecore.geometry import iou
from facecore.model import Model, Workers

FLOOR = 0.2
"""Score below which nothing is a detection: background of CenterFace and SCRFD lies below it."""


class Detections(NamedTuple):
    """Highest score first, ties by position: boxes (n, 4), scores (n,), landmarks (n, 5, 2), float32, pixels."""

    boxes: Points
    scores: Points
    landmarks: Points


class Canvas(NamedTuple):
    """A picture and the side of the square it is fitted into."""

    image: Image
    size: int
    full: bool  # the sample is the whole square, else as much of it as the picture covers

    @property
    def covered(self) -> tuple[int, int]:
        """Height and width of the resized picture."""
        height, width = self.image.shape[:2]
        longer = max(height, width)
        return max(1, height * self.size // longer), max(1, width * self.size // longer)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the sample: multiples of 32, which detectors shrink by."""
        if self.full:
            return self.size, self.size
        height, width = self.covered
        return -(-height // 32) * 32, -(-width // 32) * 32

    def fitted(self) -> Image:
        """The resized picture in the upper left corner, black elsewhere."""
        height, width = self.covered
        canvas = np.zeros((*self.shape, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(self.image, (width, height))
        return canvas


@dataclass(frozen=True, slots=True)
class Detector:
    """Attributes:
    model: canvas → detections in pixels of the canvas.
    fixed: the only side the graph takes, or None.
    full: see `Canvas`.
    largest: the largest side to use (1024 on a GPU, 640 on a CPU).
    min_confidence: the threshold when nobody asks for another.
    """

    name: str
    model: Model[Canvas, Detections]
    fixed: int | None
    full: bool
    largest: int
    min_confidence: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the square that pictures are fitted into."""
        if self.fixed is not None:
            return (self.fixed,)
        return tuple(size for size in (320, 640, 1024) if size <= self.largest)

    def size_for(self, image: Image) -> int:
        """By the shorter side: below 500 pixels 320, up to 1500 640, above 1024 where that is allowed."""
        if self.fixed is not None:
            return self.fixed
        shorter = min(image.shape[:2])
        return min(self.largest, 320 if shorter < 500 else 640 if shorter <= 1500 else 1024)

    def detect(self, images: Sequence[Image], workers: Workers) -> list[Detections]:
        """Detections of each picture, in its pixels, boxes cut at nothing."""
        canvases = [Canvas(image, self.size_for(image), self.full) for image in images]
        by_shape: dict[tuple[int, int], list[int]] = {}
        for number, canvas in enumerate(canvases):
            by_shape.setdefault(canvas.shape, []).append(number)
        runs = [
            (numbers, workers.start(self.model, [canvases[n] for n in numbers]))
            for numbers in by_shape.values()
        ]
        found = {n: value for numbers, run in runs for n, value in zip(numbers, run(), strict=True)}
        return [_in_picture(found[n], canvas) for n, canvas in enumerate(canvases)]


def select(boxes: Points, scores: Points, landmarks: Points, overlap: float) -> Detections:
    """Greedy suppression: of boxes that overlap by more than ``overlap`` (intersection over union) the highest
    score stays. Broken geometry (not finite, no extent) is no detection."""
    extent = landmarks.reshape(-1, 5, 2).std(1).max(1) if len(landmarks) else scores
    whole = np.isfinite(boxes).all(1) & np.isfinite(extent) & (extent > 0)
    whole &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, landmarks = boxes[whole], scores[whole], landmarks[whole]
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    boxes, scores, landmarks = boxes[order], scores[order], landmarks[order]
    left = np.ones(len(boxes), bool)
    kept = []
    for first in range(len(boxes)):
        if not left[first]:
            continue
        kept.append(first)
        left &= iou(boxes[first], boxes) <= overlap
    return Detections(boxes[kept], scores[kept], landmarks[kept])


def _in_picture(found: Detections, canvas: Canvas) -> Detections:
    height, width = canvas.covered
    back: NDArray[np.float32] = np.array(
        [canvas.image.shape[1] / width, canvas.image.shape[0] / height], np.float32
    )
    return Detections(found.boxes * np.tile(back, 2), found.scores, found.landmarks * back)
