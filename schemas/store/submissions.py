"""Accepts jobs: creates their records and sends them to the frames stage."""

import secrets
from functools import partial
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.divisions import Divisions
from schemas.envelope import MSGPACK, seal
from schemas.names import PUBLISHED, Partitions
from schemas.requests import AnalyzeRequest, film_id
from schemas.settings import Settings
from schemas.store.coalescing import Coalescer
from schemas.store.fair_queue import share_of
from schemas.store.job_record import callback_of, new_record, rfc3339, without_callback
from schemas.store.lua import Call, flat, load, milliseconds, run, run_all
from schemas.webhooks import Callback

SUBMIT, SETTLE = load(__package__, "submit"), load(__package__, "settle")
MAX_QUEUED_SECONDS = 7 * 86400.0
"""Longest time that a job may wait before it begins."""
SUBMITTED = "submitted"
"""Unit in the id of the message of an accepted job, which has a record."""
CALLERS_AT_LIMIT = 10
"""All callers together may have as many waiting jobs as this many callers at their limit (FACES_MAX_QUEUED_JOBS)."""
PUBLISHED_AT_LIMIT = CALLERS_AT_LIMIT // 2
"""The same for requests that services publish themselves: the rest is kept for submissions, which are refused where
those wait."""
UNLIMITED = 1 << 53
"""Limit on the jobs of requests that have been published already: they are not refused for their number."""
SETTLED_PER_CALL = 500
"""Jobs that get an end of their own in one call of a script."""
MAX_EVENTS = 100_000
"""Approximate length of the events stream."""
RECORD_MARGIN_SECONDS = 3600.0
"""A record outlives the deadline of its job by this time, so that the sweeper finds it."""


class QueueFull(Exception):
    """The jobs of the caller have reached FACES_MAX_QUEUED_JOBS; try again after `retry_after` seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} jobs are waiting already; try again later")
        self.retry_after = 5


class JobExists(Exception):
    """The job id belongs to a job with another request."""


class Submissions:
    """Accepts jobs. The same request under the id of a job that failed or was cancelled runs that job again.

    Args:
        redis: client with ``decode_responses=False``.
        partitions: names of keys and streams.
        settings: length of the queue.
    """

    def __init__(self, redis: Redis, partitions: Partitions, settings: Settings) -> None:
        self._redis = redis
        self._partitions = partitions
        self._settings = settings
        self._calls = Coalescer[Call, list[bytes]](partial(run_all, redis))

    async def submit(
        self, request: AnalyzeRequest, job_id: str, traceparent: str = "", repeats: float | None = None
    ) -> results.Submitted:
        """Creates the record of a job and sends it to the frames stage. Idempotent for the same request and id, while
        the job has not failed or been cancelled.

        Args:
            repeats: when this very submission was made first, Unix seconds: a run that ended since answers it.

        Raises:
            QueueFull: the queue is at its limit.
            JobExists: the id belongs to another request.
        """
        request = await self._with_library(request)
        limit, caller = self._settings.max_queued_jobs, request.tenant or ""
        run_id, message = _accepted(request, job_id, traceparent, caller)
        answer = await self._create(
            request, job_id, message, limit=limit, published=repeats, run_id=run_id, caller=caller
        )
        if answer[0] == b"deleted":
            answer = await self._create(request, job_id, message, limit=limit, run_id=run_id, caller=caller)
        match answer:
            case [b"full", length]:
                raise QueueFull(int(length))
            case [_, created]:
                created_at = rfc3339(float(created))
                return results.Submitted(job_id=job_id, status="queued", created_at=created_at)
            case answer:
                raise AssertionError(answer)

    async def accept(
        self, request: AnalyzeRequest, job_id: str, published: float | None, traceparent: str = ""
    ) -> bool:
        """Does what `submit` does for a request that a service has published itself.

        Args:
            published: Unix seconds; None: now. An end that came later is the answer to the request.

        Returns:
            False when the job was deleted after that.

        Raises:
            JobExists: the id belongs to another request.
        """
        request = await self._with_library(request)
        caller = f"{PUBLISHED}{request.tenant or ''}"
        run_id, message = _accepted(request, job_id, traceparent, caller)
        answer = await self._create(
            request, job_id, message, published=published, run_id=run_id, caller=caller
        )
        return bool(answer[0] != b"deleted")

    async def callback_url(self, job_id: str) -> str | None:
        """The address that is notified of a job's end, which is not in its message."""
        key = self._partitions.of(job_id).job(job_id).callbacks
        callback = cast("bytes | None", await self._redis.hget(key, job_id))
        return None if callback is None else msgspec.json.decode(callback, type=Callback).url

    async def was_deleted(self, job_id: str) -> bool:
        """Whether a job was deleted and has not been submitted since."""
        return bool(await self._redis.exists(self._partitions.of(job_id).tombstone(job_id)))

    async def _with_library(self, request: AnalyzeRequest) -> AnalyzeRequest:
        """Returns the request with the default library where it names none, and the divisions of its film there."""
        parameters = request.parameters
        library = self._settings.library if parameters.library is None else parameters.library
        divisions = parameters.divisions
        if library and divisions is None:
            key = self._partitions.home.library_keys(library).divisions
            stored = await cast("Any", self._redis.hget(key, film_id(request)))
            divisions = msgspec.msgpack.decode(stored, type=Divisions) if stored else None
        if (library, divisions) == (parameters.library, parameters.divisions):
            return request
        parameters = msgspec.structs.replace(parameters, library=library, divisions=divisions)
        return msgspec.structs.replace(request, parameters=parameters)

    async def _create(
        self,
        request: AnalyzeRequest,
        job_id: str,
        message: bytes,
        *,
        limit: int = UNLIMITED,
        published: float | None = None,
        refused: str = "",
        run_id: str,
        settled: str = "",
        caller: str = "",
    ) -> tuple[bytes, Any]:
        """Returns ("full", length), ("deleted", None), or how the job was found ("accepted", "same") and when it
        was created. The arguments are those of the script."""
        record, names = new_record(request), self._partitions.of(job_id)
        keys = (
            names.accepted_of(request.priority), names.job(job_id).metadata, names.active, names.jobs,
            names.tombstone(job_id), names.events, names.webhooks, *names.job(job_id)[1:],
        )  # fmt: skip
        args = (
            limit, CALLERS_AT_LIMIT * limit, *share_of(self._settings.weights, caller), message,
            record.pop("request"), refused,
            milliseconds(MAX_QUEUED_SECONDS + RECORD_MARGIN_SECONDS), milliseconds(MAX_QUEUED_SECONDS), job_id,
            "" if published is None else published, run_id, MAX_EVENTS, settled,
            callback_of(request), *flat(record),
        )  # fmt: skip
        match await self._calls(Call(SUBMIT, keys, args)):
            case [b"taken"]:
                raise JobExists(f"job id {job_id!r} belongs to another request")
            case [b"kept"]:
                raise JobExists(
                    f"job {job_id!r} was deleted, and its work is kept for other jobs with the same source"
                )
            case [b"settle", leader]:
                await self._settle(leader.decode(), job_id)
                return await self._create(
                    request, job_id, message, limit=limit, published=published, refused=refused,
                    run_id=run_id, settled=leader.decode(), caller=caller,
                )  # fmt: skip
            case [b"full", length]:
                return b"full", length
            case [b"accepted" | b"same" as found, created]:
                return found, created
            case [b"deleted"]:
                return b"deleted", None
            case answer:
                raise AssertionError(answer)

    async def _settle(self, leader: str, job_id: str) -> None:
        """Gives an end of its own to a job that another one answers for, or to all that a job answers for."""
        names = self._partitions.of(job_id)
        keys, others = names.job(leader), [job_id]
        if leader == job_id:
            fields = [f.decode() for f in cast("list[bytes]", await self._redis.hkeys(keys.metadata))]
            others = [f.split(":", 1)[1] for f in fields if f.startswith(("follower:", "answered:"))]
        for start in range(0, len(others), SETTLED_PER_CALL):
            some = others[start : start + SETTLED_PER_CALL]
            call = Call(
                SETTLE,
                [keys.metadata, names.active, *keys[1:], *(names.job(other).metadata for other in some)],
                [leader, len(keys) - 1, *some],
            )
            await run(self._redis, call)


def _accepted(request: AnalyzeRequest, job_id: str, traceparent: str, caller: str) -> tuple[str, bytes]:
    """Returns the name of a new run of an accepted job, and its message."""
    run_id, body = secrets.token_hex(12), without_callback(request)
    message = seal("analyze", job_id, SUBMITTED, body, traceparent=traceparent, run=run_id, caller=caller)
    return run_id, message[MSGPACK]
