"""Submitting straight to the stream, without the API, for services on the same server."""

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
    """Publishes requests, for asyncio; to be used with ``async with``.

    Args:
        redis_url: of the server that the workers read from.
        prefix, partitions: as the service has them (FACES_PREFIX, FACES_PARTITIONS).
        max_queued: waiting requests above which nothing is added, in each partition and priority.
        patience: seconds that `submit` waits for room.
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
        """Publishes a request. The same one under the same ``job_id`` again is the same job; without an id each is a
        job of its own.

        Raises:
            QueueFull: too many requests have been waiting for longer than `patience`.
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
