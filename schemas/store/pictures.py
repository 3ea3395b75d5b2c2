"""Pictures kept with a result: each person's best shot, and a strip of detections over time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from redis.asyncio import Redis

MAX_TILES = 12
"""Most detections in a strip."""
TILE_PIXELS = 72
"""Side of a tile; a strip is one picture of that height."""
MAX_STRIPS = 100
"""Most people of a result with a strip, the most present ones: bounds the memory that a job takes."""
PICTURES_PER_READ = 128


class Pictures(NamedTuple):
    """JPEG pictures by face id.

    Attributes:
        best: best shots, squares of at most 256 pixels.
        strips: the detections that `strip_positions` picks, side by side, for people with several.
    """

    best: Mapping[str, bytes]
    strips: Mapping[str, bytes]


NO_PICTURES = Pictures({}, {})


def strip_positions(detections: int) -> list[int]:
    """Indices of the detections that a strip shows: the first, the last, and others spread evenly between."""
    count = min(detections, MAX_TILES)
    return [round(number * (detections - 1) / max(1, count - 1)) for number in range(count)]


def picture_fields(pictures: Pictures) -> dict[str, bytes]:
    """Fields of the pictures in the hash of the result."""
    best = {f"thumbnail:{face}": picture for face, picture in pictures.best.items()}
    return best | {f"strip:{face}": picture for face, picture in pictures.strips.items()}


async def read_pictures(redis: Redis, key: str, face_ids: Sequence[str]) -> Pictures:
    """Reads the pictures of these people from the hash of a result; a missing one is left out."""
    found: dict[str, bytes] = {}
    fields = [f"{kind}:{face}" for face in face_ids for kind in ("thumbnail", "strip")]
    for start in range(0, len(fields), PICTURES_PER_READ):
        some = fields[start : start + PICTURES_PER_READ]
        stored = cast("list[bytes | None]", await redis.hmget(key, list(some)))
        found |= {field: picture for field, picture in zip(some, stored, strict=True) if picture}

    def of(kind: str) -> dict[str, bytes]:
        return {face: found[f"{kind}:{face}"] for face in face_ids if f"{kind}:{face}" in found}

    return Pictures(of("thumbnail"), of("strip"))
