"""Client of the REST interface, for asyncio."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from schemas.client.collections import AsyncCollection
from schemas.client.libraries import AsyncLibrary
from schemas.collections import CollectionInfo, CollectionList
from schemas.library_view import LibraryInfo, LibraryList
from schemas.requests import AnalyzeRequest
from schemas.results import (
    Embeddings,
    Health,
    JobEvent,
    JobList,
    JobResult,
    JobState,
    JobStatus,
    ListedJob,
    Problem,
    Submitted,
)

BUSY_STATUSES = frozenset({429, 503})
"""Responses after which a request is retried."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.2, 10.0
"""Pauses between tries, doubling from the first to the longest; a longer Retry-After takes precedence."""
READ_TIMEOUT_SECONDS = 60.0
"""A connection that delivers nothing for this long counts as broken; a stream of events has comments in between."""
Body = TypeVar("Body")


class FacesError(Exception):
    """An error response.

    Attributes:
        problem: status, detail, the invalid field and what is allowed there.
    """

    def __init__(self, problem: Problem) -> None:
        field = f" ({problem.field})" if problem.field else ""
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}{field}")
        self.problem = problem


class AsyncClient:
    """Client of the REST interface, for asyncio; use it with ``async with``.

    Idempotent requests, and `submit` with its key, are retried when the connection breaks or the service is busy.

    Args:
        url: address of the service.
        key: API key, if the service requires one.
        patience: seconds after which retrying ends.

    Raises (every method):
        FacesError: the service refuses the request, or is still busy.
        aiohttp.ClientError: the service is still unreachable.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:5003", *, key: str | None = None, patience: float = 60.0
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._patience = patience

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=READ_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def submit(self, request: AnalyzeRequest, *, idempotency_key: str | None = None) -> Submitted:
        """Submits a job; retries while the queue is full.

        Args:
            idempotency_key: calls with the same key within a day are one job; by default a new key.
        """
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key or secrets.token_hex(16),
        }
        body = msgspec.json.encode(request)
        return await self._request("POST", "/faces/analyze", Submitted, body=body, headers=headers)

    async def status(self, job_id: str) -> JobStatus:
        """Reads the status of a job."""
        return await self._request("GET", _job(job_id, "status"), JobStatus)

    async def result(self, job_id: str) -> JobResult:
        """Reads the result of a completed job."""
        return await self._request("GET", _job(job_id, "results"), JobResult)

    async def part(
        self, job_id: str, fields: Sequence[str] = (), *, embeddings: Embeddings = "json"
    ) -> dict[str, Any]:
        """Reads a part of a result.

        Args:
            fields: such as ``metadata``, ``faces.demographics``; all by default.
            embeddings: form of the embeddings.
        """
        query = {"embeddings": embeddings} | ({"fields": ",".join(fields)} if fields else {})
        return await self._request("GET", _job(job_id, "results"), dict[str, Any], query=query)

    async def thumbnail(self, job_id: str, face_id: str) -> bytes:
        """Reads the best shot of a person (JPEG)."""
        return await self._fetch("GET", _job(job_id, f"faces/{quote(face_id, safe='')}/thumbnail"))

    async def report(self, job_id: str) -> bytes:
        """Reads the result as one HTML page."""
        return await self._fetch("GET", _job(job_id, "report"))

    async def events(self, job_id: str) -> AsyncIterator[JobEvent]:
        """Yields the status of a job whenever it changes, until it has ended; reconnects and resumes when the
        connection breaks."""
        async with aclosing(self._follow(_job(job_id, "events"))) as events:
            async for name, data in events:
                if name in ("stage", "progress", "end"):
                    yield msgspec.json.decode(data, type=JobEvent)
                if name in ("end", "gone"):
                    return

    async def ended(self, job_id: str) -> JobStatus:
        """Waits for the end of a job; returns its final status."""
        async for _ in self.events(job_id):
            pass
        return await self.status(job_id)

    async def jobs(
        self,
        *,
        status: JobState | None = None,
        source_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[JobStatus]:
        """Yields jobs, latest first, page by page.

        Args:
            created_after, created_before: with time zones.
        """
        filters = {
            "status": status,
            "source_id": source_id,
            "created_after": created_after and created_after.isoformat(),
            "created_before": created_before and created_before.isoformat(),
        }
        query = {name: value for name, value in filters.items() if value}
        while True:
            page = await self._request("GET", "/faces/jobs", JobList, query=query)
            for job in page.jobs:
                yield job
            if page.next is None:
                return
            query["cursor"] = page.next

    async def cancel(self, job_id: str) -> JobStatus:
        """Cancels a job."""
        return await self._request("POST", _job(job_id, "cancel"), JobStatus, retry=False)

    async def keep(self, job_id: str) -> ListedJob:
        """Keeps a completed job and its result until it is deleted."""
        return await self._request("POST", _job(job_id, "keep"), ListedJob)

    async def delete(self, job_id: str) -> None:
        """Deletes an ended job and its result."""
        await self._fetch("DELETE", f"/faces/jobs/{quote(job_id, safe='')}", retry=False)

    async def collections(self) -> list[CollectionInfo]:
        """Reads what collections of known people there are."""
        return (await self._request("GET", "/faces/collections", CollectionList)).collections

    def collection(self, name: str) -> AsyncCollection:
        """Returns a collection of known people."""
        return AsyncCollection(name, self._fetch)

    async def libraries(self) -> list[LibraryInfo]:
        """Reads what libraries of people across films there are."""
        return (await self._request("GET", "/faces/libraries", LibraryList)).libraries

    def library(self, name: str) -> AsyncLibrary:
        """Returns a library of people across films."""
        return AsyncLibrary(name, self._fetch, self._follow)

    async def health(self) -> Health:
        """Reads the health of the service."""
        return await self._request("GET", "/faces/health", Health)

    async def _follow(self, path: str, last: str = "") -> AsyncGenerator[tuple[str, str], None]:
        """Yields name and data of the events after an id until there are no more; reconnects and resumes when the
        connection breaks, and when the service ends it."""
        until, loop = None, asyncio.get_running_loop()
        while True:
            try:
                headers = {"Last-Event-ID": last} if last else {}
                async with self._session.get(self._url + path, headers=headers) as response:
                    if response.status == 204:
                        return
                    await _require_success(response)
                    async for event_id, name, data in _events(response.content):
                        last, until = event_id or last, None
                        if data is not None:
                            yield name, data
            except (aiohttp.ClientError, TimeoutError, FacesError) as error:
                until = until or loop.time() + self._patience
                refused = isinstance(error, FacesError) and error.problem.status not in BUSY_STATUSES
                if refused or loop.time() > until:
                    raise
                await asyncio.sleep(1.0)

    async def _request(self, method: str, path: str, kind: type[Body], **more: Any) -> Body:
        return msgspec.json.decode(await self._fetch(method, path, **more), type=kind)

    async def _fetch(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        query: Mapping[str, str] = {},
        retry: bool = True,
    ) -> bytes:
        """Sends a request until there is a response or the patience ends; returns its body."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_SECONDS
        until = loop.time() + self._patience
        while True:
            wait = pause
            try:
                async with self._session.request(
                    method, self._url + path, data=body, headers=headers, params=query
                ) as response:
                    wait = max(pause, float(response.headers.get("Retry-After", 0)))
                    await _require_success(response)
                    return await response.read()
            except (aiohttp.ClientError, TimeoutError, FacesError) as error:
                busy = isinstance(error, FacesError) and error.problem.status in BUSY_STATUSES
                broken = not isinstance(error, FacesError) and retry
                if not (busy or broken) or loop.time() + wait > until:
                    raise
            await asyncio.sleep(wait)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)


async def _require_success(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    body = await response.read()
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy in between has responded
        detail = body.decode(errors="replace")[:500]
        problem = Problem(title=response.reason or "", status=response.status, detail=detail)
    raise FacesError(problem)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[tuple[str, str, str | None]]:
    """Id, name and data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Without data, an event is an id alone, from which a stream is resumed."""
    fields: dict[str, str] = {}
    while raw := await lines.readline():
        line = raw.decode().rstrip("\r\n")
        if not line:
            if fields.keys() & {"id", "data"}:
                yield fields.get("id", ""), fields.get("event", "message"), fields.get("data")
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def _job(job_id: str, what: str) -> str:
    return f"/faces/jobs/{quote(job_id, safe='')}/{what}"
