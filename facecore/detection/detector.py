"""Shared parts of the detectors: input canvas, second looks, batching by shape, non-maximum suppression."""

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
HINT_SCORE = 0.1
"""Score from which a tiny detection hints at small faces that a larger input would show. Chosen on half of the films,
shrunk into 854×480: 98.8 % of the faces that an input of 640 shows are in pictures with a hint at 320. Of the other
half it is 99.3 %. SCRFD is alike."""
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

    def where(self, marks: NDArray[np.bool_]) -> "Detections":
        """Returns the marked detections."""
        return Detections(self.boxes[marks], self.scores[marks], self.landmarks[marks])


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
        """Returns height and width of the sample: multiples of 8, as `models.centerface` requires."""
        if self.full:
            return self.size, self.size
        height, width = self.covered
        return -(-height // 8) * 8, -(-width // 8) * 8

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


class _Plan(NamedTuple):
    """How a picture is looked at.

    Attributes:
        whole: the whole picture, always first.
        tiles: looked at as well.
        larger: the whole picture in a larger input, looked at if ``whole`` hints at small faces.
    """

    whole: _View
    tiles: tuple[_View, ...] = ()
    larger: _View | None = None


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
        """Returns the side of the input into which a whole picture is fitted first.

        By its shorter side: 320 below 500 pixels, 640 up to 1500, else 1024. Never more than `largest`.
        """
        if self.fixed is not None:
            return self.fixed
        shorter = min(image.shape[:2])
        return min(self.largest, 320 if shorter < 500 else 640 if shorter <= 1500 else 1024)

    def confidence(self, scores: Points) -> Points:
        """Returns the confidence of detections, 0-1, which rises with their score."""
        if self.calibration is None:
            return scores
        odds, slope = self.calibration
        return np.asarray(1 / (1 + odds * ((1 - scores) / scores) ** slope), np.float32)

    def detect(self, images: Sequence[Image], workers: Workers) -> list[Detections]:
        """Returns the detections of each picture, in its pixels. Boxes may reach beyond the picture.

        A picture in which small faces are too small to see is looked at once more: in a larger input if that is
        enough and the first look hints at small faces, else in tiles.
        """
        plans = [self._plan(image) for image in images]
        first = self._look([view for plan in plans for view in (plan.whole, *plan.tiles)], workers)
        seen = []
        for plan in plans:
            count = 1 + len(plan.tiles)
            seen.append(first[:count])
            first = first[count:]
        again = [
            number
            for number, plan in enumerate(plans)
            if plan.larger is not None and _hints(seen[number][0], plan.whole)
        ]
        larger = [view for number in again if (view := plans[number].larger) is not None]
        for number, found in zip(again, self._look(larger, workers), strict=True):
            seen[number].append(found)
        return [
            self._merged(image, plan, found) for image, plan, found in zip(images, plans, seen, strict=True)
        ]

    def _look(self, views: Sequence[_View], workers: Workers) -> list[Detections]:
        """Returns what each view shows, in pixels of its picture; hints included."""
        by_shape: dict[tuple[int, int], list[int]] = {}
        for position, view in enumerate(views):
            by_shape.setdefault(view.canvas.shape, []).append(position)
        runs = [
            (positions, workers.start(self.model, [views[p].canvas for p in positions]))
            for positions in by_shape.values()
        ]
        found = {p: value for positions, run in runs for p, value in zip(positions, run(), strict=True)}
        return [_in_picture(found[position], view) for position, view in enumerate(views)]

    def _plan(self, image: Image) -> _Plan:
        height, width = image.shape[:2]
        size, picture = self.size_for(image), Tile(0, 0, width, height)
        whole = _View(Canvas(image, size, self.full), picture)
        if not tiles.too_coarse(width, height, size):
            return _Plan(whole)
        for larger in self.sizes:
            if not tiles.too_coarse(width, height, larger):
                return _Plan(whole, larger=_View(Canvas(image, larger, self.full), picture))
        side = self.sizes[-1]
        parts = tiles.divide(width, height, size, side)
        if parts == [picture] and size == side:  # the whole picture is the only tile
            return _Plan(whole)
        return _Plan(whole, tuple(_View(Canvas(tile.of(image), side, self.full), tile) for tile in parts))

    def _merged(self, image: Image, plan: _Plan, seen: Sequence[Detections]) -> Detections:
        """Merges the detections of the whole picture, which come first, with those of the second look.

        Of a detection inside a much larger one the higher score stays: the face, not its eye or the whole person.
        """
        height, width = image.shape[:2]
        first, *others = (found.where(found.scores >= SCORE_FLOOR) for found in seen)
        if not others:
            return first
        kept = []
        # a larger input shows the same part of the picture as the first look: all of it
        for view, found in zip(plan.tiles or (plan.whole,), others, strict=True):
            edge = tiles.EDGE_PIXELS * max(view.tile.width, view.tile.height) / view.canvas.size
            kept.append(found.where(tiles.whole(found.boxes, view.tile, width, height, edge)))
        second = _joined(kept)
        nested = tiles.inside(second.boxes, first.boxes)
        weaker = second.scores[:, None] <= first.scores
        sure = self.confidence(first.scores) >= self.min_confidence
        merged = _joined(
            [
                first.where(np.all(~nested | weaker, axis=0)),
                second.where(np.all(~(nested & weaker & sure), axis=1)),
            ]
        )
        return non_maximum_suppression(*merged, TILES_IOU)


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


def _joined(parts: Sequence[Detections]) -> Detections:
    return Detections(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _hints(found: Detections, view: _View) -> bool:
    """Checks whether there is a tiny detection, in pixels of the picture, however weak."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1, initial=np.inf)
    pixels = tiles.HINT_PIXELS * max(view.tile.width, view.tile.height) / view.canvas.size
    return bool((sides <= pixels).any())


def _in_picture(found: Detections, view: _View) -> Detections:
    height, width = view.canvas.covered
    tile = view.tile
    back: NDArray[np.float32] = np.array([tile.width / width, tile.height / height], np.float32)
    start: NDArray[np.float32] = np.array([tile.x, tile.y], np.float32)
    return Detections(
        found.boxes * np.tile(back, 2) + np.tile(start, 2), found.scores, found.landmarks * back + start
    )
