"""Blocking clients: they run the asyncio clients on a loop of their own (`schemas.client.loop`)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Self

from schemas.client.blocking_collections import Collection
from schemas.client.blocking_libraries import Library
from schemas.client.loop import Loop
from schemas.client.publishing import AsyncPublisher
from schemas.client.rest import AsyncClient
from schemas.collections import CollectionInfo
from schemas.library_view import LibraryInfo
from schemas.requests import AnalyzeRequest
from schemas.results import Embeddings, Health, JobEvent, JobResult, JobState, JobStatus, ListedJob, Submitted


class Client:
    """`AsyncClient`, blocking; to be used with ``with``."""

    def __init__(
        self, url: str = "http://127.0.0.1:5003", *, key: str | None = None, patience: float = 60.0
    ) -> None:
        self._client = AsyncClient(url, key=key, patience=patience)

    def __enter__(self) -> Self:
        self._loop = Loop()
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

    def keep(self, job_id: str) -> ListedJob:
        """Keeps a completed job and its result until it is deleted."""
        return self._loop.run(self._client.keep(job_id))

    def delete(self, job_id: str) -> None:
        """Deletes an ended job and its result."""
        self._loop.run(self._client.delete(job_id))

    def collections(self) -> list[CollectionInfo]:
        """Reads what collections of known people there are."""
        return self._loop.run(self._client.collections())

    def collection(self, name: str) -> Collection:
        """Returns a collection of known people."""
        return Collection(self._client.collection(name), self._loop)

    def libraries(self) -> list[LibraryInfo]:
        """Reads what libraries of people across films there are."""
        return self._loop.run(self._client.libraries())

    def library(self, name: str) -> Library:
        """Returns a library of people across films."""
        return Library(self._client.library(name), self._loop)

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
        self._loop = Loop()
        self._loop.run(self._publisher.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._publisher.__aexit__())
        self._loop.close()

    def submit(self, request: AnalyzeRequest) -> Submitted:
        """Publishes a request; see `AsyncPublisher.submit`."""
        return self._loop.run(self._publisher.submit(request))
