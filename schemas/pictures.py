"""The pictures of a person that are kept with a result: the best shot, and a strip of how he looks over time."""

from collections.abc import Mapping
from typing import NamedTuple

TILES = 12
"""The most detections that a strip shows."""
TILE = 72
"""Side of a tile in pixels; a strip is one picture of that height."""
STRIPS = 100
"""People of a result who get a strip, the most present ones: what is kept of a job stays below some megabytes."""


class Pictures(NamedTuple):
    """JPEG by face id.

    Attributes:
        best: the best shots, squares of at most 256 pixels.
        strips: the detections that `chosen` picks, side by side, for people with several.
    """

    best: Mapping[str, bytes]
    strips: Mapping[str, bytes]


NO_PICTURES = Pictures({}, {})


def chosen(detections: int) -> list[int]:
    """Which of a person's detections a strip shows: the first, the last, and others spread evenly between."""
    count = min(detections, TILES)
    return [round(number * (detections - 1) / max(1, count - 1)) for number in range(count)]
