"""The last resort of every job: what is complete is finalized, what has not ended by its deadline is failed."""

import time
from typing import cast

import structlog

from consumers.runtime import scripts
from consumers.service import Service

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Jobs that are looked at in one round trip."""


async def sweep(service: Service) -> None:
    """Looks at every job that has not ended."""
    await _fail_overdue(service)
    await _finalize_complete(service)


async def _fail_overdue(service: Service) -> None:
    hours = service.settings.job_deadline / 3600
    overdue = await service.redis.zrange(
        service.names.active, "-inf", time.time() * 1000, byscore=True, offset=0, num=AT_ONCE
    )
    for job in cast("list[bytes]", overdue):
        job_id = job.decode()
        reason = f"The job did not end within its {hours:g} hours (FACES_JOB_DEADLINE)."
        if await service.jobs.fail(job_id, reason):
            log.warning("job failed at its deadline", job=job_id)
        await service.redis.zrem(service.names.active, job_id)


async def _finalize_complete(service: Service) -> None:
    """Every completion looks whether it was the last one; a server that was restored from a copy may hold frames
    whose completions nobody will repeat."""
    active = cast("list[bytes]", await service.redis.zrange(service.names.active, 0, -1))
    for start in range(0, len(active), AT_ONCE):
        jobs = [job.decode() for job in active[start : start + AT_ONCE]]
        calls = [scripts.close(service.fan_in(job_id, "")) for job_id in jobs]
        for job_id, answer in zip(jobs, await scripts.run_all(service.redis, calls), strict=True):
            if isinstance(answer, Exception):
                raise answer
            if answer:
                log.warning("complete job had not been finalized", job=job_id)
