"""Shared parts of the detectors: input canvas, batching by shape, non-maximum suppression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import Image, Points
from facecore.geometry import iou
from facecore.model import Model, Workers

SCORE_FLOOR = 0.2
"""Lower scores are never detections: they are background for both CenterFace and SCRFD."""


class Detections(NamedTuple):
    """Detections of one picture, highest score first, ties by position.

    Attributes:
        boxes: (n, 4) float32, pixels.
        scores: (n,) float32, 0-1.
        landmarks: (n, 5, 2) float32, pixels.
    """

    boxes: Points
    scores: Points
    landmarks: Points


class Canvas(NamedTuple):
    """A detector's input: a picture scaled to fit into a square.

    Attributes:
        image: the picture.
        size: side of the square in pixels.
        full: the sample is the whole square; else only the part that the picture covers.
    """

    image: Image
    size: int
    full: bool

    @property
    def covered(self) -> tuple[int, int]:
        """Returns height and width of the resized picture."""
        height, width = self.image.shape[:2]
        longer = max(height, width)
        return max(1, height * self.size // longer), max(1, width * self.size // longer)

    @property
    def shape(self) -> tuple[int, int]:
        """Returns height and width of the sample: multiples of 32, the coarsest stride of the detectors."""
        if self.full:
            return self.size, self.size
        height, width = self.covered
        return -(-height // 32) * 32, -(-width // 32) * 32

    def fitted(self) -> Image:
        """Returns the sample: the resized picture in the upper left corner, black elsewhere."""
        height, width = self.covered
        canvas = np.zeros((*self.shape, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(self.image, (width, height))
        return canvas


@dataclass(frozen=True, slots=True)
class Detector:
    """A face detector that chooses its input size by the picture.

    Attributes:
        model: canvas → detections in pixels of the canvas.
        fixed: the only input side that the graph accepts; None: any.
        full: see `Canvas`.
        largest: the largest side to use (1024 on a GPU, 640 on a CPU).
        min_confidence: the default threshold, 0-1.
    """

    name: str
    model: Model[Canvas, Detections]
    fixed: int | None
    full: bool
    largest: int
    min_confidence: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Returns the possible sides of the input square."""
        if self.fixed is not None:
            return (self.fixed,)
        return tuple(size for size in (320, 640, 1024) if size <= self.largest)

    def size_for(self, image: Image) -> int:
        """Returns the input side for a picture by its shorter side: 320 below 500 pixels, 640 up to 1500, else 1024;
        never more than `largest`."""
        if self.fixed is not None:
            return self.fixed
        shorter = min(image.shape[:2])
        return min(self.largest, 320 if shorter < 500 else 640 if shorter <= 1500 else 1024)

    def detect(self, images: Sequence[Image], workers: Workers) -> list[Detections]:
        """Returns the detections of each picture, in its pixels. Boxes may reach beyond the picture."""
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


def non_maximum_suppression(boxes: Points, scores: Points, landmarks: Points, max_iou: float) -> Detections:
    """Keeps, of boxes whose intersection over union exceeds ``max_iou``, the one with the highest score (greedy
    non-maximum suppression). Drops detections with broken geometry: not finite or without extent."""
    extent = landmarks.reshape(-1, 5, 2).std(1).max(1) if len(landmarks) else scores
    valid = np.isfinite(boxes).all(1) & np.isfinite(extent) & (extent > 0)
    valid &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, landmarks = boxes[valid], scores[valid], landmarks[valid]
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    boxes, scores, landmarks = boxes[order], scores[order], landmarks[order]
    remaining = np.ones(len(boxes), bool)
    kept = []
    for first in range(len(boxes)):
        if not remaining[first]:
            continue
        kept.append(first)
        remaining &= iou(boxes[first], boxes) <= max_iou
    return Detections(boxes[kept], scores[kept], landmarks[kept])


def _in_picture(found: Detections, canvas: Canvas) -> Detections:
    height, width = canvas.covered
    back: NDArray[np.float32] = np.array(
        [canvas.image.shape[1] / width, canvas.image.shape[0] / height], np.float32
    )
    return Detections(found.boxes * np.tile(back, 2), found.scores, found.landmarks * back)
