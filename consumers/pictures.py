"""Pictures of a result, made from the face crops that the analyze stage stored.

What of a crop lies beyond the edge of its picture is left out here: the emotion model reads the whole crop.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

from redis.asyncio import Redis

from facecore.contact_sheet import contact_sheet, thumbnail
from facecore.people import Person, Sighting
from facecore.portraits import part_within, trimmed
from schemas.store.pictures import MAX_STRIPS, TILE_PIXELS, Pictures, strip_positions

CROPS_PER_READ = 256
"""Crops that are read in one round trip."""


async def result_pictures(redis: Redis, portraits: str, people: Sequence[Person]) -> Pictures:
    """Returns the best shots of all people, and contact sheets of the first `MAX_STRIPS`.

    Args:
        portraits: key of the hash of crops.
        people: in the order of the faces in the result.
    """
    best = [person.best for person in people]
    rows = [
        [person.sightings[number] for number in strip_positions(len(person.sightings))]
        for person in people[:MAX_STRIPS]
    ]
    rows = [row if len(row) > 1 else [] for row in rows]
    crops = await _read(redis, portraits, [*best, *chain(*rows)])
    return Pictures(_by_face(best, crops), await asyncio.to_thread(_strips, rows, crops))


async def preview_pictures(redis: Redis, portraits: str, people: Sequence[Person], side: int) -> Pictures:
    """Returns the best shots of the people of a running job.

    Args:
        side: width of a picture in pixels.
    """
    best = [person.best for person in people]
    shots = _by_face(best, await _read(redis, portraits, best))
    return Pictures(await asyncio.to_thread(_smaller, shots, side), {})


def _by_face(best: Sequence[Sighting], crops: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"face_{n}": crops[one.portrait] for n, one in enumerate(best) if one.portrait in crops}


def _strips(rows: Sequence[Sequence[Sighting]], crops: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        f"face_{number}": contact_sheet([crops.get(one.portrait) for one in row], TILE_PIXELS)
        for number, row in enumerate(rows)
        if any(one.portrait in crops for one in row)
    }


def _smaller(shots: Mapping[str, bytes], side: int) -> dict[str, bytes]:
    return {face: thumbnail(shot, side) for face, shot in shots.items()}


async def _read(redis: Redis, key: str, sightings: Sequence[Sighting]) -> dict[str, bytes]:
    """Reads the crops of these sightings by their fields, each without what is beyond its picture."""
    found: dict[str, bytes] = {}
    by_field = {one.portrait: one for one in sightings}
    wanted = list(by_field)
    for start in range(0, len(wanted), CROPS_PER_READ):
        fields = wanted[start : start + CROPS_PER_READ]
        crops = cast("list[bytes | None]", await redis.hmget(key, fields))
        read = {field: crop for field, crop in zip(fields, crops, strict=True) if crop is not None}
        found |= await asyncio.to_thread(_within, by_field, read)
    return found


def _within(sightings: Mapping[str, Sighting], crops: Mapping[str, bytes]) -> dict[str, bytes]:
    shown = dict[str, bytes]()
    for field, crop in crops.items():
        one = sightings[field]
        part = part_within(one.face, one.frame.width, one.frame.height)
        shown[field] = crop if part is None else trimmed(crop, part)
    return shown
