"""The pictures of a person that are kept with a result: the best shot, and a strip of how he looks over time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from redis.asyncio import Redis

MAX_TILES = 12
"""The most detections that a strip shows."""
TILE_PIXELS = 72
"""Side of a tile in pixels; a strip is one picture of that height."""
MAX_STRIPS = 100
"""People of a result who get a strip, the most present ones: what is kept of a job stays below some megabytes."""
READ_AT_ONCE = 128


class Pictures(NamedTuple):
    """JPEG by face id.

    Attributes:
        best: the best shots, squares of at most 256 pixels.
        strips: the detections that `strip_positions` picks, side by side, for people with several.
    """

    best: Mapping[str, bytes]
    strips: Mapping[str, bytes]


NO_PICTURES = Pictures({}, {})


def strip_positions(detections: int) -> list[int]:
    """Which of a person's detections a strip shows: the first, the last, and others spread evenly between."""
    count = min(detections, MAX_TILES)
    return [round(number * (detections - 1) / max(1, count - 1)) for number in range(count)]


def picture_fields(pictures: Pictures) -> dict[str, bytes]:
    """The fields of the hash that they are kept in, beside the result."""
    best = {f"thumbnail:{face}": picture for face, picture in pictures.best.items()}
    return best | {f"strip:{face}": picture for face, picture in pictures.strips.items()}


async def read_pictures(redis: Redis, key: str, face_ids: Sequence[str]) -> Pictures:
    """Those of these people that are kept in the hash; a person without is left out."""
    found: dict[str, bytes] = {}
    fields = [f"{kind}:{face}" for face in face_ids for kind in ("thumbnail", "strip")]
    for start in range(0, len(fields), READ_AT_ONCE):
        asked = fields[start : start + READ_AT_ONCE]
        stored = cast("list[bytes | None]", await redis.hmget(key, list(asked)))
        found |= {field: picture for field, picture in zip(asked, stored, strict=True) if picture}

    def of(kind: str) -> dict[str, bytes]:
        return {face: found[f"{kind}:{face}"] for face in face_ids if f"{kind}:{face}" in found}

    return Pictures(of("thumbnail"), of("strip"))
