"""Submits requests directly to the stream, without the API, for services that use the same Redis server."""

import asyncio
from typing import Self

import msgspec

from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import Submitted
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs, QueueFull


class AsyncPublisher:
    """Publishes requests, for asyncio; use it with ``async with``.

    Args:
        redis_url: address of the server that the workers read from.
        prefix, partitions: as the service has them (FACES_PREFIX, FACES_PARTITIONS).
        max_queued: most waiting requests in each partition and priority.
        patience: seconds that `submit` waits while the queue is full.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "faces",
        partitions: int = 1,
        max_queued: int = 1000,
        patience: float = 60.0,
    ) -> None:
        self._url = redis_url
        self._partitions = Partitions(prefix, partitions)
        self._settings = msgspec.structs.replace(Settings.from_env({}), max_queued_jobs=max_queued)
        self._patience = patience

    async def __aenter__(self) -> Self:
        self._redis = connect(self._url)
        self._jobs = Jobs(self._redis, self._partitions, self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def submit(self, request: AnalyzeRequest) -> Submitted:
        """Publishes a request. Idempotent for the same request and ``job_id``; without an id each call is a new job.

        Raises:
            QueueFull: the queue was full for longer than `patience`.
            JobExists: the id belongs to another request.
        """
        job_id = request.job_id or self._partitions.new_job_id(request.video_path)
        loop, pause = asyncio.get_running_loop(), 0.05
        until = loop.time() + self._patience
        while True:
            try:
                return await self._jobs.submit(request, job_id)
            except QueueFull:
                if loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
