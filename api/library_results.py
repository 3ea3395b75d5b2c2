"""Adds to a job's result who its faces are in the library now: names and corrections show in older results too."""

import asyncio

from aiohttp import web

from api.app_keys import LIBRARY_READER, PARTITIONS, REDIS
from schemas.store.job_reader import JobState
from schemas.store.library_reader import NOBODY
from schemas.store.results import face_ids, with_fields

ADDED_POLLS, ADDED_POLL_SECONDS = 20, 0.1
"""How often, and at what intervals, it is checked whether the library has the people of a job that has just ended."""


async def tag_with_people(request: web.Request, state: JobState, tag: str) -> str:
    """The entity tag of a result, which changes with its library."""
    if state.library is None:
        return tag
    await _added(request, state.alias or state.job_id)
    return f"{tag}-{await request.app[LIBRARY_READER].version(state.library) or ''}"


async def with_people(request: web.Request, state: JobState, part: bytes, number: int, parts: int) -> bytes:
    """A part of the result of a job, with person and label of each face; unchanged for a job without a library."""
    if state.library is None:
        return part
    job_id = state.alias or state.job_id
    ids = await asyncio.to_thread(face_ids, part, number, parts)
    if await _waits(request, job_id):  # the library may have another film whose job had this id
        fields = dict.fromkeys(ids, NOBODY)
    else:
        fields = await request.app[LIBRARY_READER].fields_of(state.library, job_id, ids)
    return await asyncio.to_thread(with_fields, part, number, parts, fields)


async def _added(request: web.Request, job_id: str) -> None:
    """Waits for the library stage, so that who asks as soon as a job has ended sees its people."""
    for _ in range(ADDED_POLLS):
        if not await _waits(request, job_id):
            return
        await asyncio.sleep(ADDED_POLL_SECONDS)


async def _waits(request: web.Request, job_id: str) -> bool:
    """Whether the people of a job have not been added to the library yet."""
    return bool(await request.app[REDIS].exists(request.app[PARTITIONS].of(job_id).film(job_id)))
