"""Job deadlines: fails jobs past their deadline, and finalizes complete jobs whose finalize message is missing."""

from typing import cast

import structlog

from consumers.runtime import scripts
from consumers.service import Service
from schemas.envelope import Envelope
from schemas.store import lua
from schemas.store.clock import server_time

log = structlog.get_logger(__name__)

JOBS_PER_ROUND_TRIP = 100
"""Jobs that one sweep fails, and jobs whose fan-in is checked in one pipeline."""


async def sweep(service: Service) -> None:
    """Checks every job of a partition that has not ended."""
    await _fail_overdue(service)
    await _finalize_complete(service)


async def _fail_overdue(service: Service) -> None:
    hours = service.settings.job_deadline / 3600
    active = service.names.active
    now = await server_time(service.redis, active)
    overdue = await service.redis.zrange(
        active, "-inf", now * 1000, byscore=True, offset=0, num=JOBS_PER_ROUND_TRIP
    )
    for job in cast("list[bytes]", overdue):
        job_id = job.decode()
        reason = f"The job did not end within its {hours:g} hours (FACES_JOB_DEADLINE)."
        run = await _run(service, job_id)
        due = await service.redis.zscore(active, job_id)
        if due is None or due > now * 1000:
            continue  # it has run again
        if await service.jobs.fail(job_id, reason, run_id=run):
            log.warning("job failed at its deadline", job=job_id)


async def _run(service: Service, job_id: str) -> str:
    run = cast("bytes | None", await service.redis.hget(service.names.job(job_id).metadata, "run"))
    return (run or b"").decode()


async def _finalize_complete(service: Service) -> None:
    """Runs the fan-in check again for every active job, which also renews the copy of its state for other programs.

    Every completion runs this check, but a server restored from a backup may contain complete jobs without a finalize
    message, and no completion of theirs is left to come.
    """
    active = service.names.active
    for start in range(0, int(await service.redis.zcard(active)), JOBS_PER_ROUND_TRIP):
        last = start + JOBS_PER_ROUND_TRIP - 1  # a job that moves up meanwhile is looked at by the next sweep
        found = cast("list[bytes]", await service.redis.zrange(active, start, last))
        jobs = [job.decode() for job in found]
        messages = [
            Envelope(id="", job=job_id, type="", body=None, run=await _run(service, job_id))
            for job_id in jobs
        ]
        calls = [scripts.check_fan_in(service.fan_in(message)) for message in messages]
        for job_id, reply in zip(jobs, await lua.run_all(service.redis, calls), strict=True):
            if isinstance(reply, Exception):
                raise reply
            if reply:
                log.warning("complete job finalized by sweep", job=job_id)
