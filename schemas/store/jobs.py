"""Begins, coalesces and ends jobs. schemas.store.job_record documents the fields of a record."""

import asyncio
import math
from typing import TYPE_CHECKING, Any, cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.envelope import MSGPACK
from schemas.names import Partitions
from schemas.redaction import redact
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.additions import Addition
from schemas.store.collections import remember
from schemas.store.job_index import trim
from schemas.store.job_reader import JobReader, JobState
from schemas.store.job_record import without_callback
from schemas.store.lua import Call, Value, flat, load, milliseconds, run
from schemas.store.observations import Observations
from schemas.store.pictures import NO_PICTURES, Pictures, picture_fields
from schemas.store.results import result_fields
from schemas.store.run_data import HashFields, Kept, keep_all
from schemas.store.submissions import (
    MAX_EVENTS,
    MAX_QUEUED_SECONDS,
    RECORD_MARGIN_SECONDS,
    JobExists,
    Submissions,
)

if TYPE_CHECKING:
    from schemas.store.job_metrics import JobMetrics  # the client does without

BEGIN, NOTE, JOIN, FINISH, REOPEN, REWRITE, RETAIN, DELETE = (
    load(__package__, name)
    for name in ("begin", "note", "join", "finish", "reopen", "rewrite", "retain", "delete")
)
RESULT_MIN_TTL_SECONDS = 300.0
"""A finished job can be read for at least this time, even when its result is not cached."""
CHANGED = -1
"""Reply of a script: another job answers for the job by now, so the keys of the call are not the right ones."""
REPLAYED_KEYS = 3
"""Keys after the result (`schemas.names.JobKeys`) that replaying a frame needs: outcomes, faces, portraits."""


class Jobs(Submissions):
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
        super().__init__(redis, partitions, settings)
        self._metrics = metrics
        self._reader = JobReader(redis, partitions)

    async def refuse(
        self, placeholder: AnalyzeRequest, job_id: str, published: float, error: str, digest: str
    ) -> None:
        """Creates the record of a published request that is invalid, and ends its job as failed.

        Args:
            placeholder: stands for the request.
            digest: of the request, which distinguishes it from others with the same placeholder.

        Raises:
            JobExists: the id belongs to another request.
        """
        run_id = f"{published}:{digest}"
        answer = await self._create(
            placeholder, job_id, b"", published=published, refused=digest, run_id=run_id
        )
        if answer[0] != b"deleted":
            await self.fail(job_id, error, run_id=run_id)

    async def begin(self, job_id: str, request: AnalyzeRequest, run_id: str = "") -> bool:
        """Marks the run of an accepted job as begun.

        Returns:
            False when the run is over, or another job answers for this one: there is nothing to do.

        Raises:
            JobExists: the id belongs to another request.
        """
        limit, names = self._settings.job_deadline, self._partitions.of(job_id)
        args: list[Value] = [
            milliseconds(limit + RECORD_MARGIN_SECONDS), milliseconds(limit), job_id,
            msgspec.msgpack.encode(without_callback(request)),
            msgspec.msgpack.encode(request) if request.callback_url else "", run_id,
        ]  # fmt: skip
        answer = await run(self._redis, Call(BEGIN, [names.job(job_id).metadata, names.active], args))
        if answer == b"taken":
            raise JobExists(f"job id {job_id!r} belongs to another request")
        return bool(answer == b"begun")

    async def note(self, job_id: str, run_id: str = "", **fields: str | int | float) -> None:
        """Sets fields of the record while the run goes on."""
        record = self._partitions.of(job_id).job(job_id).metadata
        await run(self._redis, Call(NOTE, [record], [run_id, *flat(fields)]))

    async def join(self, job_id: str, cache_key: str, keep: float, run_id: str = "") -> bool:
        """Coalesces the job with one of the same content and parameters, running or finished.

        Args:
            keep: seconds that a finished result is kept from now on.

        Returns:
            True when another job answers for this one, or its run is over; False when this job does the work and
            answers for later ones.
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
                job_id, other, milliseconds(max(keep, RESULT_MIN_TTL_SECONDS)),
                milliseconds(self._settings.job_deadline + RECORD_MARGIN_SECONDS), MAX_EVENTS, run_id,
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
        run_id: str = "",
        addition: Addition | None = None,
    ) -> bool:
        """Stores the result and ends the job, if its run goes on.

        Args:
            pictures: pictures of its people.
            addition: what the job adds to a library, which the library stage is then sent.
            keep: seconds that the result is cached; it can be read for at least `RESULT_MIN_TTL_SECONDS`.
            whole: False when frames are missing: the result answers no other job, and the frames can be replayed.

        Returns:
            False when the job had ended already; its result is unchanged then.
        """
        keys = self._partitions.of(job_id).job(job_id)
        stored = await asyncio.to_thread(result_fields, body)
        kept = [
            HashFields(
                keys.result,
                RESULT_MIN_TTL_SECONDS,  # until the job ends, which is next
                stored | picture_fields(pictures),
                replaces=True,  # an earlier end may have left more parts
            )
        ]
        if addition is not None:
            kept.append(addition.kept(self._partitions.of(job_id), job_id))
        if not all(await keep_all(self._redis, [Kept(keys.metadata, run_id, kept)])):
            return False
        fields = {"summary": msgspec.json.encode(summary)}
        task = b"" if addition is None else addition.message(job_id)
        ended = await self._end(
            job_id, "completed", keep, fields, shared=whole, replayable=not whole, run_id=run_id, task=task
        )
        if ended and self._metrics is not None:
            self._metrics.completed(body.metadata.frames_processed, body.metadata.reused_frames)
        return ended

    async def rewrite(self, job_id: str, body: results.ResultBody) -> None:
        """Replaces the result of a job, if it has not expired; its pictures stay."""
        fields = await asyncio.to_thread(result_fields, body)
        key = self._partitions.of(job_id).job(job_id).result
        await run(self._redis, Call(REWRITE, [key], flat(fields)))

    async def fail(self, job_id: str, error: str, *, replayable: bool = False, run_id: str = "") -> bool:
        """Ends the job as failed, with the reason; False when its run was over already.

        Args:
            replayable: keeps what `reopen` needs.
        """
        fields = {"error": redact(error)}
        return await self._end(job_id, "failed", 0, fields, replayable=replayable, run_id=run_id)

    async def reopen(self, job_id: str, run_id: str) -> bool:
        """Reopens a job that ended without some of its frames, which are about to be replayed. A job whose result is
        that of others stays as it is.

        Args:
            run_id: run that the frames are of.

        Returns:
            False when the job has not ended or has run again, or its frames are no longer kept.
        """
        names, limit = self._partitions.of(job_id), self._settings.job_deadline
        keys = names.job(job_id)
        await self._settle(job_id, job_id)
        call = Call(
            REOPEN,
            keys=[keys.metadata, names.active, keys.outcomes, keys.faces, keys.portraits, keys.callbacks],
            args=[
                job_id,
                milliseconds(limit + RECORD_MARGIN_SECONDS),
                milliseconds(limit),
                run_id,
            ],
        )
        return bool(await run(self._redis, call))

    async def cancel(self, job_id: str) -> bool:
        """Cancels the job: its queued messages are dropped, running work stops at the next frame.

        Work that answers other jobs too continues for them.

        Returns:
            False when there is no such job, or it has ended.
        """
        return await self._end(job_id, "cancelled", 0, {"error": "The job was cancelled."})

    async def keep(self, job_id: str) -> bool:
        """Keeps a completed job and its result until it is deleted; a job that answers for it is kept too.

        Returns:
            False when there is no such job, or it has no result.
        """
        state = await self._reader.read(job_id)
        if state is None or state.status != "completed":
            return False
        leader = state.alias or job_id
        for name in await self._matched(state):
            await remember(self._redis, self._partitions.home, name, leader, math.inf)
        mine, theirs = self._partitions.of(job_id).job(job_id), self._partitions.of(leader).job(leader)
        keys = [mine.metadata, mine.callbacks, theirs.metadata, theirs.result]
        answer = await run(self._redis, Call(RETAIN, keys, [job_id, leader]))
        return await self.keep(job_id) if answer == CHANGED else bool(answer)

    async def delete(self, job_id: str) -> bool:
        """Deletes a job that has ended, with all that is stored of it.

        A result that answers for other jobs stays until the last of them is deleted or expires; the deleted job is no
        longer found. What was seen in the pictures of its source is erased at once, whichever job looked.

        Returns:
            False when there is no such job or it is running.
        """
        state = await self._reader.read(job_id)
        if state is None or not state.ended:
            return False
        await self.forget_observations(job_id)
        names = self._partitions.of(job_id)
        leader = state.alias or job_id
        keys = [
            names.job(job_id).metadata, names.active, names.jobs, names.tombstone(job_id),
            names.job(leader).metadata, *names.job(job_id)[1:], *names.job(leader)[1:],
        ]  # fmt: skip
        matched = await self._matched(state) if state.kept else []
        call = Call(DELETE, keys, [job_id, leader, milliseconds(MAX_QUEUED_SECONDS)])
        answer = await run(self._redis, call)
        if answer == CHANGED:
            return await self.delete(job_id)
        for name in matched:
            if not await self._redis.exists(names.job(leader).metadata):
                await remember(self._redis, self._partitions.home, name, leader, 0)
        return bool(answer)

    async def forget_observations(self, job_id: str) -> None:
        """Erases what is kept of the source of a job, and of the one that answers for it."""
        names = self._partitions.of(job_id)
        alias = cast("bytes | None", await self._redis.hget(names.job(job_id).metadata, "alias"))
        observations = Observations(self._redis, names, self._settings)
        for job in (job_id, alias.decode() if alias else job_id):
            await observations.erase(job)

    async def _matched(self, state: JobState) -> list[str]:
        """The collections that a job looked for its people in."""
        request = await self._reader.request(state)
        return request.parameters.match_collections if request else []

    async def _end(
        self,
        job_id: str,
        status: str,
        keep: float,
        fields: dict[str, Any],
        *,
        shared: bool = False,
        replayable: bool = False,
        run_id: str = "",
        task: bytes = b"",
    ) -> bool:
        names = self._partitions.of(job_id)
        keys = names.job(job_id)
        values = await self._redis.hmget(keys.metadata, ["cache_key", "created", "alias"])
        cache_key, created, alias = cast("list[bytes | None]", values)
        leader = alias.decode() if alias else job_id
        call = Call(
            FINISH,
            keys=[
                keys.metadata, names.active, names.events, names.webhooks, cache_key or keys.metadata,
                names.job(leader).metadata, names.library, *keys[1:], *names.job(leader)[1:],
            ],
            args=[
                job_id, leader, status, milliseconds(max(keep, self._min_ttl(status))),
                milliseconds(keep) if shared else 0, MAX_EVENTS, REPLAYED_KEYS if replayable else 0, run_id,
                MSGPACK, task, *flat(fields),
            ],
        )  # fmt: skip
        answer = await run(self._redis, call)
        if answer == CHANGED:
            return await self._end(
                job_id, status, keep, fields, shared=shared, replayable=replayable, run_id=run_id, task=task
            )
        ended = float(answer)
        if ended and self._metrics is not None:
            self._metrics.ended(status, ended - float(created or ended))
        if ended:
            await trim(self._redis, names)
        return bool(ended)

    def _min_ttl(self, status: str) -> float:
        least = 0.0 if status == "completed" else self._settings.cache_ttl
        return max(RESULT_MIN_TTL_SECONDS, least)
