"""Blocking clients.

They run the asyncio clients on an event loop in a thread of their own, so that they work beside a running event loop
(in a notebook) and from several threads.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from schemas.client.publishing import AsyncPublisher
from schemas.client.rest import AsyncClient
from schemas.requests import AnalyzeRequest
from schemas.results import Embeddings, Health, JobEvent, JobResult, JobState, JobStatus, Submitted

Item = TypeVar("Item")


class _Loop:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faces-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Item]) -> Item:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, for example
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        async def following() -> list[Item]:
            async for item in items:
                return [item]
            return []

        while found := self.run(following()):
            yield found[0]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """`AsyncClient`, blocking; to be used with ``with``."""

    def __init__(
        self, url: str = "http://127.0.0.1:5003", *, key: str | None = None, patience: float = 60.0
    ) -> None:
        self._client = AsyncClient(url, key=key, patience=patience)

    def __enter__(self) -> Self:
        self._loop = _Loop()
        self._loop.run(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._client.__aexit__())
        self._loop.close()

    def submit(self, request: AnalyzeRequest, *, idempotency_key: str | None = None) -> Submitted:
        """Submits a job; see `AsyncClient.submit`."""
        return self._loop.run(self._client.submit(request, idempotency_key=idempotency_key))

    def status(self, job_id: str) -> JobStatus:
        """Reads the status of a job."""
        return self._loop.run(self._client.status(job_id))

    def result(self, job_id: str) -> JobResult:
        """Reads the result of a completed job."""
        return self._loop.run(self._client.result(job_id))

    def part(
        self, job_id: str, fields: Sequence[str] = (), *, embeddings: Embeddings = "json"
    ) -> dict[str, Any]:
        """Reads a part of a result; see `AsyncClient.part`."""
        return self._loop.run(self._client.part(job_id, fields, embeddings=embeddings))

    def thumbnail(self, job_id: str, face_id: str) -> bytes:
        """Reads the best shot of a person (JPEG)."""
        return self._loop.run(self._client.thumbnail(job_id, face_id))

    def report(self, job_id: str) -> bytes:
        """Reads the result as one HTML page."""
        return self._loop.run(self._client.report(job_id))

    def events(self, job_id: str) -> Iterator[JobEvent]:
        """Yields the status of a job whenever it changes, until it has ended."""
        return self._loop.iterate(self._client.events(job_id))

    def ended(self, job_id: str) -> JobStatus:
        """Waits for the end of a job; returns its final status."""
        return self._loop.run(self._client.ended(job_id))

    def jobs(
        self,
        *,
        status: JobState | None = None,
        source_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[JobStatus]:
        """Yields jobs, latest first; see `AsyncClient.jobs`."""
        return self._loop.iterate(
            self._client.jobs(
                status=status,
                source_id=source_id,
                created_after=created_after,
                created_before=created_before,
            )
        )

    def cancel(self, job_id: str) -> JobStatus:
        """Cancels a job."""
        return self._loop.run(self._client.cancel(job_id))

    def delete(self, job_id: str) -> None:
        """Deletes an ended job and its result."""
        self._loop.run(self._client.delete(job_id))

    def health(self) -> Health:
        """Reads the health of the service."""
        return self._loop.run(self._client.health())


class Publisher:
    """`AsyncPublisher`, blocking; to be used with ``with``."""

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "faces",
        partitions: int = 1,
        max_queued: int = 1000,
        patience: float = 60.0,
    ) -> None:
        self._publisher = AsyncPublisher(
            redis_url, prefix=prefix, partitions=partitions, max_queued=max_queued, patience=patience
        )

    def __enter__(self) -> Self:
        self._loop = _Loop()
        self._loop.run(self._publisher.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._publisher.__aexit__())
        self._loop.close()

    def submit(self, request: AnalyzeRequest) -> Submitted:
        """Publishes a request; see `AsyncPublisher.submit`."""
        return self._loop.run(self._publisher.submit(request))
