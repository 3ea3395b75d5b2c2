"""The REST interface for asyncio."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from schemas.requests import AnalyzeRequest
from schemas.results import (
    Embeddings,
    Health,
    JobEvent,
    JobList,
    JobResult,
    JobState,
    JobStatus,
    Problem,
    Submitted,
)

BUSY = frozenset({429, 503})
"""Answers that ask to come back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between tries where the answer does not say."""
SILENCE = 60.0
"""Seconds without a word, not even a comment, after which a stream of events is taken for cut."""
Answer = TypeVar("Answer")


class FacesError(Exception):
    """An answer that is no success.

    Attributes:
        problem: what the service said: status, detail, the field at fault and what is allowed there.
    """

    def __init__(self, problem: Problem) -> None:
        field = f" ({problem.field})" if problem.field else ""
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}{field}")
        self.problem = problem


class AsyncClient:
    """A client for asyncio, to be used with ``async with``.

    What can be asked twice without harm is asked again when the connection breaks or the service is busy, and so is
    `submit`, whose key makes that safe.

    Args:
        url: of the service.
        key: of the API, where it asks for one.
        patience: seconds until a busy or absent service is given up.

    Raises (every method):
        FacesError: the service refuses, or is still busy.
        aiohttp.ClientError: it is still absent.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:5003", *, key: str | None = None, patience: float = 60.0
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._patience = patience

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def submit(self, request: AnalyzeRequest, *, idempotency_key: str | None = None) -> Submitted:
        """Submits a job; while too many wait, it waits too.

        Args:
            idempotency_key: the same key stands for the same job, for a day; a new one unless given.
        """
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key or secrets.token_hex(16),
        }
        body = msgspec.json.encode(request)
        return await self._ask("POST", "/faces/analyze", Submitted, body=body, headers=headers)

    async def status(self, job_id: str) -> JobStatus:
        return await self._ask("GET", _job(job_id, "status"), JobStatus)

    async def result(self, job_id: str) -> JobResult:
        """The people of a completed job."""
        return await self._ask("GET", _job(job_id, "results"), JobResult)

    async def part(
        self, job_id: str, fields: Sequence[str] = (), *, embeddings: Embeddings = "json"
    ) -> dict[str, Any]:
        """Less of a result: `fields` such as ``metadata``, ``faces.demographics``; another form of embeddings."""
        query = {"embeddings": embeddings} | ({"fields": ",".join(fields)} if fields else {})
        return await self._ask("GET", _job(job_id, "results"), dict[str, Any], query=query)

    async def thumbnail(self, job_id: str, face_id: str) -> bytes:
        """The best shot of a person, JPEG."""
        return await self._bytes("GET", _job(job_id, f"faces/{quote(face_id, safe='')}/thumbnail"))

    async def report(self, job_id: str) -> bytes:
        """The people as one page of HTML."""
        return await self._bytes("GET", _job(job_id, "report"))

    async def events(self, job_id: str) -> AsyncIterator[JobEvent]:
        """The status of a job whenever it changes, until it has ended. A connection that breaks is made again, and
        goes on where it was."""
        last, until, loop = "", None, asyncio.get_running_loop()
        while True:
            try:
                headers = {"Last-Event-ID": last} if last else {}
                async with self._session.get(self._url + _job(job_id, "events"), headers=headers) as answer:
                    if answer.status == 204:
                        return
                    await _require_success(answer)
                    async for event_id, name, data in _events(answer.content):
                        last, until = event_id or last, None
                        if name == "gone":
                            return
                        if name in ("stage", "progress", "end"):
                            yield msgspec.json.decode(data, type=JobEvent)
                        if name == "end":
                            return
            except (aiohttp.ClientError, TimeoutError, FacesError) as error:
                until = until or loop.time() + self._patience
                refused = isinstance(error, FacesError) and error.problem.status not in BUSY
                if refused or loop.time() > until:
                    raise
                await asyncio.sleep(1.0)

    async def ended(self, job_id: str) -> JobStatus:
        """Waits for the end of a job."""
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
        """Jobs, the latest first, page after page.

        Args:
            created_after, created_before: with their time zones.
        """
        asked = {
            "status": status,
            "source_id": source_id,
            "created_after": created_after and created_after.isoformat(),
            "created_before": created_before and created_before.isoformat(),
        }
        query = {name: value for name, value in asked.items() if value}
        while True:
            page = await self._ask("GET", "/faces/jobs", JobList, query=query)
            for job in page.jobs:
                yield job
            if page.next is None:
                return
            query["cursor"] = page.next

    async def cancel(self, job_id: str) -> JobStatus:
        return await self._ask("POST", _job(job_id, "cancel"), JobStatus, again=False)

    async def delete(self, job_id: str) -> None:
        """Forgets an ended job."""
        await self._bytes("DELETE", f"/faces/jobs/{quote(job_id, safe='')}", again=False)

    async def health(self) -> Health:
        return await self._ask("GET", "/faces/health", Health)

    async def _ask(self, method: str, path: str, kind: type[Answer], **more: Any) -> Answer:
        return msgspec.json.decode(await self._bytes(method, path, **more), type=kind)

    async def _bytes(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        query: Mapping[str, str] = {},
        again: bool = True,
    ) -> bytes:
        """Asks until there is an answer, or patience ends."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        until = loop.time() + self._patience
        while True:
            wait = pause
            try:
                async with self._session.request(
                    method, self._url + path, data=body, headers=headers, params=query
                ) as answer:
                    wait = max(pause, float(answer.headers.get("Retry-After", 0)))
                    await _require_success(answer)
                    return await answer.read()
            except (aiohttp.ClientError, TimeoutError, FacesError) as error:
                busy = isinstance(error, FacesError) and error.problem.status in BUSY
                broken = not isinstance(error, FacesError) and again
                if not (busy or broken) or loop.time() + wait > until:
                    raise
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)


async def _require_success(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    body = await answer.read()
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):  # something between answers in its own words
        detail = body.decode(errors="replace")[:500]
        problem = Problem(title=answer.reason or "", status=answer.status, detail=detail)
    raise FacesError(problem)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[tuple[str, str, str]]:
    """Id, name and data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    fields: dict[str, str] = {}
    while raw := await lines.readline():
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", "message"), fields["data"]
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def _job(job_id: str, what: str) -> str:
    return f"/faces/jobs/{quote(job_id, safe='')}/{what}"
