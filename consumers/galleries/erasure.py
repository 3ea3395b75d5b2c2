"""Taking people who were erased from a collection out of the results that tell of them."""

from collections import defaultdict
from typing import cast

import msgspec

from consumers.runtime.stage import NotReady
from consumers.service import Service
from schemas.results import Face, Match, ResultBody
from schemas.store.results import ResultChanged, head, parts_of

READ_AT_ONCE = 1000
AGAIN = 2.0
"""Seconds until the next look at a job that is about to end."""


async def remove_erased_people(service: Service, collection: str) -> None:
    """Rewrites the results that tell of people who are in the collection no longer.

    Raises:
        NotReady: a job has noted whom it is going to tell of, and has not ended.
    """
    keys = service.partitions.home.collection(collection)
    waiting = False
    cursor = 0
    while True:
        cursor, noted = await service.redis.zscan(keys.matched, cursor, count=READ_AT_ONCE)
        gone = defaultdict[str, set[str]](set)
        members = [member.decode().split(" ", 1) for member, _ in cast("list[tuple[bytes, float]]", noted)]
        people = [person for person, _ in members]
        labels = await service.redis.hmget(keys.people, people) if people else []
        for (person, job_id), label in zip(members, labels, strict=True):
            if label is None:
                gone[job_id].add(person)
        for job_id, erased in gone.items():
            if await _rewritten(service, job_id, collection, erased):
                await service.redis.zrem(keys.matched, *(f"{person} {job_id}" for person in erased))
            else:
                waiting = True
        if not cursor:
            break
    if waiting:
        raise NotReady(AGAIN, "a job that is about to end tells of an erased person")


async def _rewritten(service: Service, job_id: str, collection: str, erased: set[str]) -> bool:
    """False: the job has not ended, and may write its result (again)."""
    keys = service.partitions.of(job_id).job(job_id)
    created, ended = await service.redis.hmget(keys.metadata, ["created", "ended"])
    known = await head(service.redis, keys.result)
    if known is None:
        return created is None or ended is not None
    try:
        body = b"".join([part async for part in parts_of(service.redis, keys.result, known)])
    except ResultChanged:
        return False
    result = msgspec.json.decode(body, type=ResultBody)
    faces = [
        msgspec.structs.replace(face, matches=_without(face, collection, erased)) for face in result.faces
    ]
    await service.jobs.rewrite(job_id, msgspec.structs.replace(result, faces=faces))
    return ended is not None


def _without(face: Face, collection: str, erased: set[str]) -> list[Match]:
    matches = face.matches if isinstance(face.matches, list) else []
    return [match for match in matches if match.collection != collection or match.person_id not in erased]
