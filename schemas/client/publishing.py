"""Publishes requests directly to the stream, without the API, for services that use the same Redis server."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Self, cast

import msgspec

from schemas.envelope import MSGPACK
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import Submitted
from schemas.store.connection import connect
from schemas.store.submissions import QueueFull


class AsyncPublisher:
    """Publishes requests, for asyncio; use it with ``async with``.

    It adds entries to the streams of requests and reads their length, and needs no other right on the server.

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
        self._max_queued = max_queued
        self._patience = patience

    async def __aenter__(self) -> Self:
        self._redis = connect(self._url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def submit(self, request: AnalyzeRequest) -> Submitted:
        """Publishes a request. Idempotent for the same request and ``job_id``; without an id each call is a new job.

        A request under the id of another job becomes a dead letter, and that job stays as it is.

        Raises:
            QueueFull: the queue was full for longer than `patience`.
        """
        job_id = request.job_id or self._partitions.new_job_id(request.video_path)
        stream = self._partitions.of(job_id).requests_of(request.priority)
        entry = {MSGPACK: msgspec.msgpack.encode(msgspec.structs.replace(request, job_id=job_id))}
        loop, pause = asyncio.get_running_loop(), 0.05
        until = loop.time() + self._patience
        while True:
            waiting = int(await self._redis.xlen(stream))
            if waiting < self._max_queued:
                added = cast("bytes", await self._redis.xadd(stream, cast("Any", entry)))
                created = datetime.fromtimestamp(int(added.partition(b"-")[0]) / 1000, UTC)
                return Submitted(
                    job_id=job_id, status="queued", created_at=created.isoformat(timespec="milliseconds")
                )
            if loop.time() + pause > until:
                raise QueueFull(waiting)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
