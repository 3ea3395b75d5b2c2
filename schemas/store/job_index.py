"""The index of jobs by submission time: removes the ids of jobs whose records have expired."""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from schemas.names import Names
from schemas.store.lua import Call, load, run

UNLIST = load(__package__, "unlist")
SAMPLED_JOBS = 8
"""Random entries that each end of a job checks. When one in so many entries has expired, an end removes as many as it
adds: the index holds few ids of expired jobs, whether somebody lists jobs or not."""


async def unlist_expired(redis: Redis, names: Names, job_ids: Sequence[str]) -> int:
    """Removes those jobs from the index of a partition whose records have expired; returns how many there were."""
    records = [names.job(job_id).metadata for job_id in job_ids]
    return int(await run(redis, Call(UNLIST, [names.jobs, *records], job_ids))) if job_ids else 0


async def trim(redis: Redis, names: Names) -> None:
    """Removes expired jobs from a random sample of the index."""
    sample = cast("list[bytes]", await cast("Any", redis.zrandmember(names.jobs, SAMPLED_JOBS)))
    await unlist_expired(redis, names, [job_id.decode() for job_id in sample])
