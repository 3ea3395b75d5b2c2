"""The last resort of every job: what has not ended by its deadline is failed, with the reason."""

import time
from typing import cast

import structlog

from consumers.service import Service

log = structlog.get_logger(__name__)

AT_ONCE = 100


async def fail_overdue(service: Service) -> None:
    """Fails the jobs whose latest end has passed."""
    overdue = cast(
        "list[bytes]",
        await service.redis.zrange(
            service.names.active, "-inf", time.time() * 1000, byscore=True, offset=0, num=AT_ONCE
        ),
    )
    for job in overdue:
        job_id = job.decode()
        hours = service.settings.job_deadline / 3600
        if await service.jobs.fail(
            job_id, f"The job did not end within its {hours:g} hours (FACES_JOB_DEADLINE)"
        ):
            log.warning("job failed at its deadline", job=job_id)
        await service.redis.zrem(service.names.active, job_id)
