"""Shared parts of the detectors: input canvas, tiles, batching by shape, non-maximum suppression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import Image, Points
from facecore.detection import tiles
from facecore.detection.tiles import Tile
from facecore.geometry import iou
from facecore.model import Model, Workers

SCORE_FLOOR = 0.2
"""Lower scores are never detections: they are background for both CenterFace and SCRFD."""
TILES_IOU = 0.3
"""Detections of several tiles that overlap more are of one face."""


class Calibration(NamedTuple):
    """Platt scaling (Platt 1999) of a detector's scores s: the probability that a detection is a face is
    1 / (1 + odds ((1 - s) / s)^slope).

    Attributes:
        odds: of no face to a face at score 0.5.
        slope: how fast the odds fall as the score rises.
    """

    odds: float
    slope: float


class Detections(NamedTuple):
    """Detections of one picture, highest score first, ties by position.

    Attributes:
        boxes: (n, 4) float32, pixels.
        scores: (n,) float32, 0-1, as the detector gives them.
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


class _View(NamedTuple):
    """A picture, or a tile of it, as an input of the detector."""

    canvas: Canvas
    tile: Tile


@dataclass(frozen=True, slots=True)
class Detector:
    """A face detector that chooses its input size by the picture.

    Attributes:
        model: canvas → detections in pixels of the canvas.
        fixed: the only input side that the graph accepts; None: any.
        full: see `Canvas`.
        largest: the largest side to use (1024 on a GPU, 640 on a CPU).
        min_confidence: the default threshold of the confidence, 0-1.
        calibration: turns scores into confidences; None: they are used as they are.
    """

    name: str
    model: Model[Canvas, Detections]
    fixed: int | None
    full: bool
    largest: int
    min_confidence: float
    calibration: Calibration | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Returns the possible sides of the input square."""
        if self.fixed is not None:
            return (self.fixed,)
        return tuple(size for size in (320, 640, 1024) if size <= self.largest)

    def size_for(self, image: Image) -> int:
        """Returns the side of the input into which a whole picture is fitted.

        By its shorter side: 320 below 500 pixels, 640 up to 1500, else 1024. 640 also for a picture so wide
        that small faces would be too small to see at 320 (`tiles.too_coarse`). Never more than `largest`.
        """
        size = self._size_by_shorter_side(image)
        height, width = image.shape[:2]
        if self.fixed is None and size == 320 and tiles.too_coarse(width, height, size):
            return 640
        return size

    def confidence(self, scores: Points) -> Points:
        """Returns the confidence of detections, 0-1, which rises with their score."""
        if self.calibration is None:
            return scores
        odds, slope = self.calibration
        return np.asarray(1 / (1 + odds * ((1 - scores) / scores) ** slope), np.float32)

    def detect(self, images: Sequence[Image], workers: Workers) -> list[Detections]:
        """Returns the detections of each picture, in its pixels. Boxes may reach beyond the picture.

        A picture in which small faces are still too small is looked at once more, in tiles.
        """
        views = [(number, view) for number, image in enumerate(images) for view in self._views(image)]
        by_shape: dict[tuple[int, int], list[int]] = {}
        for position, (_, view) in enumerate(views):
            by_shape.setdefault(view.canvas.shape, []).append(position)
        runs = [
            (positions, workers.start(self.model, [views[p][1].canvas for p in positions]))
            for positions in by_shape.values()
        ]
        found = {p: value for positions, run in runs for p, value in zip(positions, run(), strict=True)}
        by_image: list[list[tuple[_View, Detections]]] = [[] for _ in images]
        for position, (number, view) in enumerate(views):
            by_image[number].append((view, _in_picture(found[position], view)))
        return [
            self._merged(image, seen) if len(seen) > 1 else seen[0][1]
            for image, seen in zip(images, by_image, strict=True)
        ]

    def _size_by_shorter_side(self, image: Image) -> int:
        if self.fixed is not None:
            return self.fixed
        shorter = min(image.shape[:2])
        return min(self.largest, 320 if shorter < 500 else 640 if shorter <= 1500 else 1024)

    def _views(self, image: Image) -> list[_View]:
        """Returns the whole picture and, where small faces are too small in it, its tiles."""
        height, width = image.shape[:2]
        size, side = self.size_for(image), self.sizes[-1]
        views = [_View(Canvas(image, size, self.full), Tile(0, 0, width, height))]
        if tiles.too_coarse(width, height, self._size_by_shorter_side(image)):
            parts = tiles.divide(width, height, size, side)
            if len(parts) == 1 and size == side:  # the whole picture is the only tile
                return views
            for tile in parts:
                part = image[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
                views.append(_View(Canvas(part, side, self.full), tile))
        return views

    def _merged(self, image: Image, seen: Sequence[tuple[_View, Detections]]) -> Detections:
        """Merges the detections of the whole picture, which come first, with those of the tiles."""
        height, width = image.shape[:2]
        overview = seen[0][1]
        faces = overview.boxes[self.confidence(overview.scores) >= self.min_confidence]
        kept = [overview]
        for view, found in seen[1:]:
            edge = tiles.EDGE_PIXELS * max(view.tile.width, view.tile.height) / view.canvas.size
            marks = tiles.whole(found.boxes, view.tile, width, height, edge)
            marks &= ~tiles.parts(found.boxes, faces)
            kept.append(Detections(found.boxes[marks], found.scores[marks], found.landmarks[marks]))
        boxes, scores, landmarks = (np.concatenate(values) for values in zip(*kept, strict=True))
        return non_maximum_suppression(boxes, scores, landmarks, TILES_IOU)


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


def _in_picture(found: Detections, view: _View) -> Detections:
    height, width = view.canvas.covered
    tile = view.tile
    back: NDArray[np.float32] = np.array([tile.width / width, tile.height / height], np.float32)
    start: NDArray[np.float32] = np.array([tile.x, tile.y], np.float32)
    return Detections(
        found.boxes * np.tile(back, 2) + np.tile(start, 2), found.scores, found.landmarks * back + start
    )
