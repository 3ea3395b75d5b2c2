"""Pictures of a result, made from the face crops that the analyze stage stored."""

import asyncio
from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis

from facecore.contact_sheet import contact_sheet, thumbnail
from facecore.people import Person
from schemas.store.pictures import MAX_STRIPS, TILE_PIXELS, Pictures, strip_positions

CROPS_PER_READ = 256
"""Crops that are read in one round trip."""


async def result_pictures(redis: Redis, portraits: str, people: Sequence[Person]) -> Pictures:
    """Returns the best shots of all people, and contact sheets of the first `MAX_STRIPS`.

    Args:
        portraits: key of the hash of crops.
        people: in the order of the faces in the result.
    """
    best = await _read(redis, portraits, [person.best.portrait for person in people])
    rows = [
        [person.sightings[number].portrait for number in strip_positions(len(person.sightings))]
        for person in people[:MAX_STRIPS]
    ]
    crops = await _read(redis, portraits, [field for row in rows if len(row) > 1 for field in row])
    return Pictures(
        {
            f"face_{n}": crop
            for n, person in enumerate(people)
            if (crop := best.get(person.best.portrait)) is not None
        },
        await asyncio.to_thread(_strips, rows, crops),
    )


async def preview_pictures(redis: Redis, portraits: str, people: Sequence[Person], side: int) -> Pictures:
    """Returns the best shots of the people of a running job.

    Args:
        side: width of a picture in pixels.
    """
    best = await _read(redis, portraits, [person.best.portrait for person in people])
    shots = {f"face_{n}": crop for n, p in enumerate(people) if (crop := best.get(p.best.portrait))}
    return Pictures(await asyncio.to_thread(_smaller, shots, side), {})


def _strips(rows: Sequence[Sequence[str]], crops: dict[str, bytes]) -> dict[str, bytes]:
    return {
        f"face_{number}": contact_sheet([crops.get(field) for field in row], TILE_PIXELS)
        for number, row in enumerate(rows)
        if any(field in crops for field in row) and len(row) > 1
    }


def _smaller(shots: dict[str, bytes], side: int) -> dict[str, bytes]:
    return {face: thumbnail(shot, side) for face, shot in shots.items()}


async def _read(redis: Redis, key: str, fields: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for start in range(0, len(fields), CROPS_PER_READ):
        block = fields[start : start + CROPS_PER_READ]
        crops = cast("list[bytes | None]", await redis.hmget(key, list(block)))
        found |= {field: crop for field, crop in zip(block, crops, strict=True) if crop is not None}
    return found
