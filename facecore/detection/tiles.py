"""Divides large and wide pictures into overlapping tiles, in which small faces are large enough for a detector."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facecore.align import Image, Points
from facecore.geometry import area

VISIBLE_FACE_PIXELS = 15.0
"""Shorter side of the smallest face, on the canvas, that the detectors usually find (tests.eval.recall)."""
TILE_FACE_PIXELS = 20.0
"""Shorter side, on the canvas of a tile, of the smallest face that the tiles are made for."""
FACE_SHARE = 1 / 40
"""Faces of this share of the picture's longer side have to be found, within the two limits below."""
MIN_FACE_PIXELS, MAX_FACE_PIXELS = 32.0, 48.0
"""Smaller faces are of little use; larger ones have to be found in a picture of any size."""
PANORAMA = 2.5
"""Ratio of the sides above which a picture is as several ordinary ones side by side; films have at most 2.4, but for
some of 2.55 and 2.76."""
PANORAMA_SHARE, PANORAMA_MIN_FACE_PIXELS = 16 / 9 * FACE_SHARE, 16.0
"""Of a panorama, faces of this share of the shorter side have to be found, as in a 16:9 picture of its height; their
limit."""
HINT_PIXELS = 12.0
"""Largest shorter side, on the canvas, of a detection that hints at small faces; see `detector.HINT_SCORE`."""
MAX_TILES = 100
"""Limit of the cost of a picture; larger pictures are looked at in less detail."""
EDGE_PIXELS = 4
"""A detection this close to an inner edge of its tile, on the canvas, is taken to be cut by it."""
INSIDE = 0.7
"""Share of a detection's area from which it lies inside a detection of four times that area."""


class Tile(NamedTuple):
    """A part of a picture: left, top, width and height in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, image: Image) -> Image:
        """Returns this part of the picture."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def smallest_face(width: int, height: int) -> float:
    """Returns the shorter side of the smallest face that has to be found, in pixels of the picture."""
    shorter, longer = sorted((width, height))
    if longer > PANORAMA * shorter:
        return min(max(shorter * PANORAMA_SHARE, PANORAMA_MIN_FACE_PIXELS), MAX_FACE_PIXELS)
    return min(max(longer * FACE_SHARE, MIN_FACE_PIXELS), MAX_FACE_PIXELS)


def too_coarse(width: int, height: int, size: int) -> bool:
    """Checks whether the smallest face cannot be seen when the picture is fitted into a square of side ``size``."""
    return smallest_face(width, height) * size / max(width, height) < VISIBLE_FACE_PIXELS


def divide(width: int, height: int, overview: int, size: int) -> list[Tile]:
    """Divides a picture into equal, overlapping tiles.

    Args:
        overview: side of the square into which the whole picture is fitted as well. Tiles overlap by the smallest
            face that this overview shows well, so that every face is whole in a tile or visible in the overview.
        size: largest side of a tile's canvas.
    """
    scale = min(1.0, TILE_FACE_PIXELS / smallest_face(width, height))
    while True:
        overlap = min(size // 2, math.ceil(TILE_FACE_PIXELS * scale * max(width, height) / overview))
        overlap += 2 * EDGE_PIXELS
        columns = _spans(width, size / scale, overlap / scale)
        rows = _spans(height, size / scale, overlap / scale)
        if len(columns) * len(rows) <= MAX_TILES:
            return [Tile(x, y, w, h) for y, h in rows for x, w in columns]
        scale *= 0.8


def _spans(length: int, longest: float, overlap: float) -> list[tuple[int, int]]:
    """Returns start and length of equal spans, at most ``longest``, that cover ``length`` and overlap."""
    if length <= longest:
        return [(0, length)]
    count = math.ceil((length - overlap) / (longest - overlap))
    span = min(math.floor(longest), math.ceil((length + (count - 1) * overlap) / count))
    return [(round(i * (length - span) / (count - 1)), span) for i in range(count)]


def whole(boxes: Points, tile: Tile, width: int, height: int, edge: float) -> NDArray[np.bool_]:
    """Marks the boxes, in pixels of the picture, that no inner edge of their tile cuts.

    Args:
        width, height: of the picture.
        edge: `EDGE_PIXELS` in pixels of the picture.
    """
    marks = np.ones(len(boxes), bool)
    if tile.x > 0:
        marks &= boxes[:, 0] > tile.x + edge
    if tile.y > 0:
        marks &= boxes[:, 1] > tile.y + edge
    if tile.x + tile.width < width:
        marks &= boxes[:, 2] < tile.x + tile.width - edge
    if tile.y + tile.height < height:
        marks &= boxes[:, 3] < tile.y + tile.height - edge
    return marks


def inside(boxes: Points, faces: Points) -> NDArray[np.bool_]:
    """Returns, as (boxes, faces), which boxes lie inside which much larger faces.

    Either the box is an eye or a mouth, seen from too near, or the "face" is a whole person, seen from too far.
    """
    sides = np.minimum(boxes[:, None, 2:], faces[:, 2:]) - np.maximum(boxes[:, None, :2], faces[:, :2])
    shared = np.maximum(sides, 0).prod(2)
    own = area(boxes)[:, None]
    return np.asarray((shared >= INSIDE * own) & (area(faces) >= 4 * own))
