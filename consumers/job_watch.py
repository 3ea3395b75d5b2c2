"""Job watch: stops the work for a job that has ended, most often because it was cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from schemas.names import Names

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""Pause between two looks at the records of all jobs that are worked on; cancelled work stops within two seconds."""


class JobEnded(Exception):
    """The job has ended or was deleted while its work was under way."""


@dataclass(eq=False, slots=True)
class _Work:
    """A task that works for a job.

    Attributes:
        stopped: it was cancelled because the job has ended.
    """

    job_id: str
    task: asyncio.Task[object]
    stopped: bool = False


class JobWatch:
    """Looks at the records of all jobs that tasks work for in one round trip, and cancels the tasks of ended ones."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._works: set[_Work] = set()
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def until_ended(self, job_id: str) -> AsyncIterator[None]:
        """Cancels the body once the job has ended.

        The body must not write: it may be cancelled at any await. A thread has to end with it (`in_thread`).

        Raises:
            JobEnded: the job has ended.
        """
        task = asyncio.current_task()
        assert task is not None
        work = _Work(job_id, task)
        self._works.add(work)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), context=Context())  # of no job
        try:
            yield
        except asyncio.CancelledError:
            if work.stopped and not task.uncancel():
                raise JobEnded(job_id) from None
            raise
        finally:
            self._works.discard(work)

    async def _look(self) -> None:
        """Looks at the records as long as there is work."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._works:
                return
            jobs = {work.job_id for work in self._works}
            try:
                over = await self._ended(list(jobs))
            except (RedisError, RedisClusterException, OSError) as error:
                log.warning("running jobs not looked at", error=str(error) or type(error).__name__)
                continue
            for work in self._works:
                if work.job_id in over and not work.stopped:
                    work.stopped = True
                    work.task.cancel()
                    log.info("work stopped", job=work.job_id)

    async def _ended(self, job_ids: list[str]) -> set[str]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(self._names.job(job_id).metadata, ["created", "ended"])
            records = await pipe.execute()
        return {
            job_id for job_id, (created, ended) in zip(job_ids, records, strict=True) if ended or not created
        }
