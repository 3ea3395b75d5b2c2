"""Removes people who were erased from a collection from the results of jobs that matched them."""

from collections import defaultdict
from typing import cast

import msgspec

from consumers.runtime.stage import NotReady
from consumers.service import Service
from schemas.results import Face, Match, ResultBody
from schemas.store.results import ResultChanged, read_head, read_parts

MATCHES_PER_SCAN = 1000
"""Pairs of person and job per ZSCAN call."""
RETRY_SECONDS = 2.0
"""Pause before a job that is about to write its result is checked again."""


async def remove_erased_people(service: Service, collection: str) -> None:
    """Rewrites the results that match people who are no longer in the collection.

    Raises:
        NotReady: a job has recorded that it will name an erased person, and has not ended yet.
    """
    keys = service.partitions.home.collection(collection)
    waiting = False
    cursor = 0
    while True:
        cursor, matched = await service.redis.zscan(keys.matched, cursor, count=MATCHES_PER_SCAN)
        erased_by_job = defaultdict[str, set[str]](set)
        members = [member.decode().split(" ", 1) for member, _ in cast("list[tuple[bytes, float]]", matched)]
        people = [person for person, _ in members]
        labels = await service.redis.hmget(keys.people, people) if people else []
        for (person, job_id), label in zip(members, labels, strict=True):
            if label is None:
                erased_by_job[job_id].add(person)
        for job_id, erased in erased_by_job.items():
            if await _rewritten(service, job_id, collection, erased):
                await service.redis.zrem(keys.matched, *(f"{person} {job_id}" for person in erased))
            else:
                waiting = True
        if not cursor:
            break
    if waiting:
        raise NotReady(RETRY_SECONDS, "a running job is about to write a result that names an erased person")


async def _rewritten(service: Service, job_id: str, collection: str, erased: set[str]) -> bool:
    """Removes people from the result of a job; False: the job has not ended and may still write a result."""
    keys = service.partitions.of(job_id).job(job_id)
    created, ended = await service.redis.hmget(keys.metadata, ["created", "ended"])
    stored = await read_head(service.redis, keys.result)
    if stored is None:
        return created is None or ended is not None
    try:
        body = b"".join([part async for part in read_parts(service.redis, keys.result, stored)])
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
