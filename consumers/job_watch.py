"""Job watch: stops the work for a job that has ended, most often because it was cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from schemas.envelope import Envelope
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
        envelope: of the message that it handles.
        stopped: it was cancelled because the job's run is over.
    """

    envelope: Envelope[Any]
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
    async def until_ended(self, envelope: Envelope[Any]) -> AsyncIterator[None]:
        """Cancels the body once the run that a message belongs to is over.

        The body must not write: it may be cancelled at any await. A thread has to end with it (`in_thread`).

        Raises:
            JobEnded: the run is over.
        """
        task = asyncio.current_task()
        assert task is not None
        work = _Work(envelope, task)
        self._works.add(work)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), context=Context())  # of no job
        try:
            yield
        except asyncio.CancelledError:
            if work.stopped and not task.uncancel():
                raise JobEnded(envelope.job) from None
            raise
        finally:
            self._works.discard(work)

    async def _look(self) -> None:
        """Looks at the records as long as there is work."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._works:
                return
            works = list(self._works)
            try:
                over = await self._ended([work.envelope for work in works])
            except (RedisError, RedisClusterException, OSError) as error:
                log.warning("running jobs not looked at", error=str(error) or type(error).__name__)
                continue
            for work, ended in zip(works, over, strict=True):
                if ended and work in self._works and not work.stopped:
                    work.stopped = True
                    work.task.cancel()
                    log.info("work stopped", job=work.envelope.job)

    async def _ended(self, envelopes: list[Envelope[Any]]) -> list[bool]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for envelope in envelopes:
                pipe.hmget(self._names.job(envelope.job).metadata, ["created", "ended", "run"])
            records = await pipe.execute()
        return [
            bool(ended) or not created or not envelope.is_of(run)
            for envelope, (created, ended, run) in zip(envelopes, records, strict=True)
        ]
