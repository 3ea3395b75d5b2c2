"""Accepts, begins, coalesces and ends jobs. schemas.store.job_record documents the fields of a record."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.envelope import MSGPACK, seal
from schemas.names import Partitions
from schemas.redaction import redact
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.coalescing import Coalescer
from schemas.store.job_index import trim
from schemas.store.job_reader import JobReader
from schemas.store.job_record import callback_of, new_record, rfc3339, without_callback
from schemas.store.lua import Call, Value, load, run, run_all
from schemas.store.pictures import NO_PICTURES, Pictures, picture_fields
from schemas.store.results import result_fields

if TYPE_CHECKING:
    from schemas.store.job_metrics import JobMetrics  # the client does without

SUBMIT, BEGIN, NOTE, JOIN, STORE_FACES, FINISH, REOPEN, REWRITE, DELETE = (
    load(__package__, name)
    for name in ("submit", "begin", "note", "join", "store_faces", "finish", "reopen", "rewrite", "delete")
)
MAX_QUEUED_SECONDS = 7 * 86400.0
"""Longest time that a job may wait before it begins."""
RESULT_MIN_TTL_SECONDS = 300.0
"""A finished job can be read for at least this time, even when its result is not cached."""
MAX_EVENTS = 100_000
"""Approximate length of the events stream."""
SUBMITTED = "submitted"
"""Unit in the id of the message of an accepted job, which has a record."""
MAX_STREAM_LENGTH = 1 << 53
"""Limit on a stream for requests that have been published already: they are not refused for their number."""
RECORD_MARGIN_SECONDS = 3600.0
"""A record outlives the deadline of its job by this time, so that the sweeper finds it."""


FrameToStore = tuple[str, str, bytes, Mapping[str, bytes]]
"""Job id, field of the frame, its encoded faces, and the crops of the faces by their fields."""


class QueueFull(Exception):
    """The queue has reached FACES_MAX_QUEUED_JOBS; try again after `retry_after` seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} jobs are waiting already; try again later")
        self.retry_after = 5


class JobExists(Exception):
    """The job id belongs to a job with another request."""


class Jobs:
    """Submits, changes and ends jobs.

    Args:
        redis: client with ``decode_responses=False``.
        partitions: names of keys and streams.
        settings: deadlines, times to live, length of the queue.
        metrics: counts the jobs that this instance ends.
    """

    def __init__(
        self, redis: Redis, partitions: Partitions, settings: Settings, metrics: "JobMetrics | None" = None
    ) -> None:
        self._redis = redis
        self._partitions = partitions
        self._settings = settings
        self._metrics = metrics
        self._reader = JobReader(redis, partitions)
        self._submissions = Coalescer[Call, list[bytes]](partial(run_all, redis))

    async def submit(self, request: AnalyzeRequest, job_id: str, traceparent: str = "") -> results.Submitted:
        """Creates the record of a job and sends it to the frames stage. Idempotent for the same request and id.

        Raises:
            QueueFull: the queue is at its limit.
            JobExists: the id belongs to another request.
        """
        limit, message = self._settings.max_queued_jobs, _accepted(request, job_id, traceparent)
        match await self._create(request, job_id, message, limit=limit):
            case [b"full", length]:
                raise QueueFull(int(length))
            case [_, created]:
                created_at = rfc3339(float(created))
                return results.Submitted(job_id=job_id, status="queued", created_at=created_at)
            case answer:
                raise AssertionError(answer)

    async def accept(
        self, request: AnalyzeRequest, job_id: str, published: float, traceparent: str = ""
    ) -> bool:
        """Does what `submit` does for a request that a service has published itself.

        Args:
            published: Unix seconds.

        Returns:
            False when the job was deleted after that.

        Raises:
            JobExists: the id belongs to another request.
        """
        message = _accepted(request, job_id, traceparent)
        answer = await self._create(request, job_id, message, published=published)
        return bool(answer[0] != b"deleted")

    async def refuse(self, placeholder: AnalyzeRequest, job_id: str, published: float, error: str) -> None:
        """Creates the record of a published request that is invalid, and ends its job as failed.

        Args:
            placeholder: stands for the request.

        Raises:
            JobExists: the id belongs to another request.
        """
        answer = await self._create(placeholder, job_id, b"", published=published)
        if answer[0] != b"deleted":
            await self.fail(job_id, error)

    async def _create(
        self,
        request: AnalyzeRequest,
        job_id: str,
        message: bytes,
        *,
        limit: int = MAX_STREAM_LENGTH,
        published: float | None = None,
    ) -> tuple[bytes, Any]:
        """Returns ("full", length), ("deleted", None), or how the job was found ("accepted", "same") and when it
        was created."""
        record, names = new_record(request), self._partitions.of(job_id)
        keys = (
            names.accepted_of(request.priority), names.job(job_id).metadata, names.active, names.jobs,
            names.tombstone(job_id), names.job(job_id).callbacks,
        )  # fmt: skip
        args = (
            limit, MSGPACK, message, record.pop("request"), _ms(MAX_QUEUED_SECONDS + RECORD_MARGIN_SECONDS),
            _ms(MAX_QUEUED_SECONDS), job_id, "" if published is None else published, callback_of(request),
            *_flat(record),
        )  # fmt: skip
        match await self._submissions(Call(SUBMIT, keys, args)):
            case [b"taken"]:
                raise JobExists(f"job id {job_id!r} belongs to another request")
            case [b"full", length]:
                return b"full", length
            case [b"accepted" | b"same" as found, created]:
                return found, created
            case [b"deleted"]:
                return b"deleted", None
            case answer:
                raise AssertionError(answer)

    async def begin(self, job_id: str, request: AnalyzeRequest) -> bool:
        """Marks an accepted job as begun.

        Returns:
            False when the job has ended, was deleted or is answered by another one: there is nothing to do.

        Raises:
            JobExists: the id belongs to another request.
        """
        limit, names = self._settings.job_deadline, self._partitions.of(job_id)
        args: list[Value] = [
            _ms(limit + RECORD_MARGIN_SECONDS), _ms(limit), job_id,
            msgspec.msgpack.encode(without_callback(request)),
            msgspec.msgpack.encode(request) if request.callback_url else "",
        ]  # fmt: skip
        answer = await run(self._redis, Call(BEGIN, [names.job(job_id).metadata, names.active], args))
        if answer == b"taken":
            raise JobExists(f"job id {job_id!r} belongs to another request")
        return bool(answer == b"begun")

    async def store_faces(self, frames: Sequence[FrameToStore]) -> None:
        """Stores the faces of frames and their crops, those of jobs that still run; one round trip for all."""
        ttl = _ms(self._settings.job_deadline + RECORD_MARGIN_SECONDS)
        calls = []
        for job_id, field, faces, portraits in frames:
            keys = self._partitions.of(job_id).job(job_id)
            args = [ttl, field, faces, *_flat(portraits)]
            calls.append(Call(STORE_FACES, [keys.metadata, keys.faces, keys.portraits], args))
        for answer in await run_all(self._redis, calls):
            if isinstance(answer, Exception):
                raise answer

    async def note(self, job_id: str, **fields: str | int | float) -> None:
        """Sets fields of the record, if it still exists."""
        record = self._partitions.of(job_id).job(job_id).metadata
        await run(self._redis, Call(NOTE, [record], _flat(fields)))

    async def join(self, job_id: str, cache_key: str, keep: float) -> bool:
        """Coalesces the job with one of the same content and parameters, running or finished.

        Args:
            keep: seconds that a finished result is kept from now on.

        Returns:
            True when another job answers for this one; False when this job does the work and answers for later ones.
        """
        names = self._partitions.of(job_id)
        key, mine = names.cache(cache_key), names.job(job_id)
        for _ in range(5):
            other = cast("bytes", await self._redis.get(key) or b"").decode()
            theirs = names.job(other) if other else mine
            keys = [
                key, mine.metadata, names.active, theirs.metadata, theirs.result, names.events, names.webhooks,
                mine.callbacks, theirs.callbacks,
            ]  # fmt: skip
            args: list[Value] = [
                job_id, other, _ms(max(keep, RESULT_MIN_TTL_SECONDS)),
                _ms(self._settings.job_deadline + RECORD_MARGIN_SECONDS), MAX_EVENTS,
            ]  # fmt: skip
            answer = await run(self._redis, Call(JOIN, keys, args))
            if answer == b"answered":
                await trim(self._redis, names)
            if answer != b"changed":
                return bool(answer != b"leads")
        return False  # the leader keeps changing: do the work

    async def complete(
        self,
        job_id: str,
        body: results.ResultBody,
        summary: results.ResultSummary,
        keep: float,
        pictures: Pictures = NO_PICTURES,
        *,
        whole: bool = True,
    ) -> bool:
        """Stores the result and ends the job.

        Args:
            pictures: pictures of its people.
            keep: seconds that the result is cached; it can be read for at least `RESULT_MIN_TTL_SECONDS`.
            whole: False when frames are missing: the result answers no other job, and the frames can be replayed.

        Returns:
            False when the job had ended already; its result is unchanged then.
        """
        keys = self._partitions.of(job_id).job(job_id)
        if not await self._redis.hexists(keys.metadata, "ended"):
            stored = await asyncio.to_thread(result_fields, body)
            stored |= picture_fields(pictures)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.unlink(keys.result)  # an earlier end may have left more parts
                for name, value in stored.items():
                    pipe.hset(keys.result, name, value)
                pipe.expire(keys.result, int(RESULT_MIN_TTL_SECONDS))  # until the job ends, which is next
                await pipe.execute()
        fields = {"summary": msgspec.json.encode(summary)}
        ended = await self._end(job_id, "completed", keep, fields, shared=whole, replayable=not whole)
        if not ended and not await self._redis.exists(keys.metadata):
            await self._redis.unlink(keys.result)  # the job was deleted in the meantime
        return ended

    async def rewrite(self, job_id: str, body: results.ResultBody) -> None:
        """Replaces the result of a job, if it has not expired; its pictures stay."""
        fields = await asyncio.to_thread(result_fields, body)
        key = self._partitions.of(job_id).job(job_id).result
        await run(self._redis, Call(REWRITE, [key], _flat(fields)))

    async def fail(self, job_id: str, error: str, *, replayable: bool = False) -> bool:
        """Ends the job as failed, with the reason; False when it had ended already.

        Args:
            replayable: keeps what `reopen` needs.
        """
        return await self._end(job_id, "failed", 0, {"error": redact(error)}, replayable=replayable)

    async def reopen(self, job_id: str) -> bool:
        """Reopens a job that ended without some of its frames, which are about to be replayed.

        Returns:
            False when the job has not ended, or its frames are no longer kept.
        """
        names, limit = self._partitions.of(job_id), self._settings.job_deadline
        keys = names.job(job_id)
        call = Call(
            REOPEN,
            keys=[keys.metadata, names.active, keys.outcomes, keys.faces, keys.portraits, keys.callbacks],
            args=[job_id, _ms(limit + RECORD_MARGIN_SECONDS), _ms(limit)],
        )
        return bool(await run(self._redis, call))

    async def cancel(self, job_id: str) -> bool:
        """Cancels the job: its queued messages are dropped, running work stops at the next frame.

        Work that answers other jobs too continues for them.

        Returns:
            False when there is no such job, or it has ended.
        """
        return await self._end(job_id, "cancelled", 0, {"error": "The job was cancelled."})

    async def delete(self, job_id: str) -> bool:
        """Deletes a job that has ended, with all that is stored of it.

        A result that answers for other jobs stays until the last of them is deleted or expires; the deleted job is no
        longer found.

        Returns:
            False when there is no such job or it is running.
        """
        state = await self._reader.read(job_id)
        if state is None or not state.ended:
            return False
        names = self._partitions.of(job_id)
        leader = state.alias or job_id
        keys = [
            names.job(job_id).metadata, names.jobs, names.tombstone(job_id), names.job(leader).metadata,
            *names.job(job_id)[1:], *names.job(leader)[1:],
        ]  # fmt: skip
        call = Call(DELETE, keys, [job_id, _ms(MAX_QUEUED_SECONDS)])
        return bool(await run(self._redis, call))

    async def _end(
        self,
        job_id: str,
        status: str,
        keep: float,
        fields: dict[str, Any],
        *,
        shared: bool = False,
        replayable: bool = False,
    ) -> bool:
        names = self._partitions.of(job_id)
        keys = names.job(job_id)
        values = await self._redis.hmget(keys.metadata, ["cache_key", "created", "alias"])
        cache_key, created, alias = cast("list[bytes | None]", values)
        leader = names.job(alias.decode()) if alias else keys
        call = Call(
            FINISH,
            keys=[
                keys.metadata, names.active, names.events, names.webhooks, leader.metadata, keys.result,
                cache_key or keys.metadata, keys.callbacks, leader.callbacks, keys.outcomes, keys.faces,
                keys.portraits,
            ],
            args=[
                job_id, status, _ms(max(keep, self._min_ttl(status))),
                _ms(keep) if shared else 0, MAX_EVENTS, int(replayable), *_flat(fields),
            ],
        )  # fmt: skip
        ended = float(await run(self._redis, call))
        if ended and self._metrics is not None:
            self._metrics.ended(status, ended - float(created or ended))
        if ended:
            await trim(self._redis, names)
        return bool(ended)

    def _min_ttl(self, status: str) -> float:
        least = 0.0 if status == "completed" else self._settings.cache_ttl
        return max(RESULT_MIN_TTL_SECONDS, least)


def _accepted(request: AnalyzeRequest, job_id: str, traceparent: str) -> bytes:
    """Returns the message of an accepted job."""
    return seal("analyze", job_id, SUBMITTED, without_callback(request), traceparent=traceparent)[MSGPACK]


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
