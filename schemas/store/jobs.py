"""The job record: how a job is submitted, begun, answered by another one, and ended.

The record is the hash ``faces:job:{job_id}:metadata``. Its fields:

    request          encoded AnalyzeRequest
    status           queued, processing, completed, failed, cancelled
    created_at       RFC 3339
    created, started, ended    Unix seconds; `ended` is there exactly when the job has ended
    error            why it failed
    alias            the job that answers for this one (same content, same parameters)
    callback         encoded schemas.webhooks.Callback: who is told when the job has ended
    follower:<id>    a job that this one answers for; the value is its callback, or empty
    withdrawn        it was cancelled, and the work goes on for the jobs that it answers for
    cache_key        the key under which others find this job
    method, expected, sampled  how the frames are got, how many there will be about, how many there are
    parts, segments  of a film that is sampled in parts: how many, and which (`consumers.sources.segmentation`)
    sampled:<part>, part:<part>    how many frames of the part there are so far; how many it has, once that is known
    warnings, warnings:<part>      what is wrong with the source, encoded list of texts
    units            how many frames the job has, once that is known
    finalized        set when the frames are complete
    summary          encoded ResultSummary
"""

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.envelope import MSGPACK, seal
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.coalescing import Coalescer
from schemas.store.job_reader import JobReader
from schemas.store.lua import Call, Value, load, run, run_all
from schemas.store.pictures import NO_PICTURES, Pictures, picture_fields
from schemas.store.results import result_fields
from schemas.webhooks import Callback

if TYPE_CHECKING:
    from schemas.store.job_metrics import JobMetrics  # the client does without

SUBMIT, BEGIN, NOTE, JOIN, FINISH, REOPEN, REWRITE = (
    load(__package__, name) for name in ("submit", "begin", "note", "join", "finish", "reopen", "rewrite")
)
MAX_QUEUED_SECONDS = 7 * 86400.0
"""Seconds a job may wait before it begins."""
RESULT_MIN_TTL_SECONDS = 300.0
"""Seconds a finished job can be read, even one that is not to be cached."""
MAX_EVENTS = 100_000
RECORD_MARGIN_SECONDS = 3600.0
"""Seconds a record outlives the latest end of its job, so that the sweeper finds it."""


class QueueFull(Exception):
    """More requests wait than the operator allows; try again after `retry_after` seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} jobs are waiting already; try again later")
        self.retry_after = 5


class JobExists(Exception):
    """The job id is taken by a job with another request."""


class Jobs:
    """Writes job records.

    Args:
        redis: client with ``decode_responses=False``.
        partitions: names of keys and streams, by job.
        settings: deadlines, times to live, the most jobs that may wait.
        metrics: told of every job that ends here.
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
        """Publishes a request. Submitting the same request under the same id again changes nothing.

        Raises:
            QueueFull: too many requests wait.
            JobExists: the id belongs to another request.
        """
        now = time.time()
        record = _new_record(request, now)
        message = seal("analyze", job_id, "", request, traceparent=traceparent)
        names = self._partitions.of(job_id)
        keys = (names.requests_of(request.priority), names.job(job_id).metadata, names.active, names.jobs)
        args = (
            self._settings.max_queued_jobs, MSGPACK, message[MSGPACK], record.pop("request"),
            _ms(MAX_QUEUED_SECONDS + RECORD_MARGIN_SECONDS), _ms(now + MAX_QUEUED_SECONDS), job_id, _ms(now),
            *_flat(record),
        )  # fmt: skip
        answer = await self._submissions(Call(SUBMIT, keys, args))
        match answer:
            case [b"full", length]:
                raise QueueFull(int(length))
            case [b"taken"]:
                raise JobExists(f"job id {job_id!r} belongs to another request")
            case [b"same", created_at]:
                return results.Submitted(job_id=job_id, status="queued", created_at=created_at.decode())
            case _:
                return results.Submitted(job_id=job_id, status="queued", created_at=str(record["created_at"]))

    async def begin(self, job_id: str, request: AnalyzeRequest) -> bool:
        """Marks a job as begun, creating its record when it was published directly; False: nothing to do,
        it has ended or another job answers for it."""
        now, limit, names = time.time(), self._settings.job_deadline, self._partitions.of(job_id)
        keys = [names.job(job_id).metadata, names.active, names.jobs]
        args = [
            _ms(limit + RECORD_MARGIN_SECONDS),
            _ms(now + limit),
            job_id,
            now,
            *_flat(_new_record(request, now)),
        ]
        return bool(await run(self._redis, Call(BEGIN, keys, args)))

    async def note(self, job_id: str, **fields: str | int | float) -> None:
        """Sets fields of the record, unless the job has been forgotten meanwhile."""
        record = self._partitions.of(job_id).job(job_id).metadata
        await run(self._redis, Call(NOTE, [record], _flat(fields)))

    async def join(self, job_id: str, cache_key: str, keep: float) -> bool:
        """Looks for a job with the same content and parameters, running or finished.

        True: it answers for this one, which has nothing left to do. False: this job does the work and answers
        for later ones.

        Args:
            keep: seconds that a finished answer is kept from now on.
        """
        names = self._partitions.of(job_id)
        key, mine = names.cache(cache_key), names.job(job_id)
        for _ in range(5):
            other = cast("bytes", await self._redis.get(key) or b"").decode()
            theirs = names.job(other) if other else mine
            keys = [
                key, mine.metadata, names.active, theirs.metadata, theirs.result, names.events, names.webhooks,
            ]  # fmt: skip
            args: list[Value] = [
                job_id, other, _ms(max(keep, RESULT_MIN_TTL_SECONDS)),
                _ms(self._settings.job_deadline + RECORD_MARGIN_SECONDS), time.time(), MAX_EVENTS,
            ]  # fmt: skip
            answer = await run(self._redis, Call(JOIN, keys, args))
            if answer != b"changed":
                return bool(answer != b"leads")
        return False  # the key changes hands faster than we can look: do the work ourselves

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
        """Stores the result and ends the job. False: the job had ended already; its result stands.

        Args:
            pictures: of its people.
            keep: seconds the result is cached; it can be read for `RESULT_MIN_TTL_SECONDS` seconds at least.
            whole: False when frames are missing: the result answers no other job, and the frames can be replayed.
        """
        keys = self._partitions.of(job_id).job(job_id)
        if not await self._redis.hexists(keys.metadata, "ended"):
            stored = await asyncio.to_thread(result_fields, body)
            stored |= picture_fields(pictures)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.unlink(keys.result)  # an earlier end may have left more parts
                for name, value in stored.items():
                    pipe.hset(keys.result, name, value)
                pipe.expire(keys.result, int(self._settings.job_deadline))  # until the end is told
                await pipe.execute()
        return await self._end(
            job_id,
            "completed",
            keep,
            {"summary": msgspec.json.encode(summary)},
            shared=whole,
            replayable=not whole,
        )

    async def rewrite(self, job_id: str, body: results.ResultBody) -> None:
        """Replaces the result of a job, if it is still kept; its pictures stay."""
        fields = await asyncio.to_thread(result_fields, body)
        key = self._partitions.of(job_id).job(job_id).result
        await run(self._redis, Call(REWRITE, [key], _flat(fields)))

    async def fail(self, job_id: str, error: str, *, replayable: bool = False) -> bool:
        """Ends the job with a reason; False when it had ended already.

        Args:
            replayable: whether its frames can be replayed, see `reopen`.
        """
        return await self._end(job_id, "failed", 0, {"error": error}, replayable=replayable)

    async def reopen(self, job_id: str) -> bool:
        """Begins a job again that ended without some of its frames, which are about to be replayed; it ends as any
        other. False: it has not ended, or nothing of its frames has been kept."""
        names, limit = self._partitions.of(job_id), self._settings.job_deadline
        keys = names.job(job_id)
        call = Call(
            REOPEN,
            keys=[keys.metadata, names.active, keys.outcomes, keys.faces, keys.portraits],
            args=[job_id, _ms(limit + RECORD_MARGIN_SECONDS), _ms(time.time() + limit)],
        )
        return bool(await run(self._redis, call))

    async def cancel(self, job_id: str) -> bool:
        """Ends the job on request; its queued messages are dropped, running work stops at the next frame.

        Work that answers other jobs too goes on for them. False: no such job, or it has ended.
        """
        return await self._end(job_id, "cancelled", 0, {"error": "The job was cancelled."})

    async def delete(self, job_id: str) -> bool:
        """Forgets a job that has ended, with its result; False when there is no such job or it is running."""
        state = await self._reader.read(job_id)
        if state is None or not state.ended:
            return False
        names = self._partitions.of(job_id)
        await self._redis.zrem(names.jobs, job_id)
        return bool(await self._redis.unlink(*names.job(job_id)))

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
        told = await self._redis.hmget(keys.metadata, ["cache_key", "created", "alias"])
        cache_key, created, alias = cast("list[bytes | None]", told)
        leader = names.job(alias.decode()).metadata if alias else keys.metadata
        now = time.time()
        call = Call(
            FINISH,
            keys=[
                keys.metadata, names.active, names.events, names.webhooks, leader, keys.result,
                cache_key or keys.metadata, keys.outcomes, keys.faces, keys.portraits,
            ],
            args=[
                job_id, status, now, _ms(max(keep, self._kept(status))),
                _ms(keep) if shared else 0, MAX_EVENTS, int(replayable), *_flat(fields),
            ],
        )  # fmt: skip
        ended = bool(await run(self._redis, call))
        if ended and self._metrics is not None:
            self._metrics.ended(status, now - float(created or now))
        return ended

    def _kept(self, status: str) -> float:
        least = 0.0 if status == "completed" else self._settings.cache_ttl
        return max(RESULT_MIN_TTL_SECONDS, least)


def cache_key(video_path: str, mtime: float | str, parameters: dict[str, Any]) -> str:
    """The specification's cache key: SHA-256 of path, modification time and parameters.

    Args:
        mtime: modification time in seconds; a hash of the content where the source is no file here.
        parameters: JSON-encodable; the model pack is among them, since another pack gives another answer.
    """
    encoded = msgspec.json.encode(parameters, order="deterministic").decode()
    return hashlib.sha256(f"{video_path}:{mtime}:faces:{encoded}".encode()).hexdigest()


def _new_record(request: AnalyzeRequest, now: float) -> dict[str, Any]:
    record = {
        "request": msgspec.msgpack.encode(request),
        "status": "queued",
        "created": now,
        "created_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
    }
    if request.callback_url:
        to = Callback(url=request.callback_url, source_id=request.source_id)
        record["callback"] = msgspec.json.encode(to)
    return record


def _flat(fields: dict[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
