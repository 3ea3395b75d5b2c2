"""What the job record says: state, progress and result of a job. schemas.jobs has its fields."""

from collections.abc import Sequence
from itertools import chain
from typing import cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.names import JOB_ID, JobKeys, Names, Partitions
from schemas.pictures import Pictures, read_pictures
from schemas.requests import AnalyzeRequest


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says of a job; `alias` has been followed for everything but `job_id`."""

    job_id: str
    request: AnalyzeRequest
    status: results.JobState
    created: float
    created_at: str
    alias: str | None
    stage: str
    progress: float
    done: int
    sampled: int
    expected: int
    error: str | None
    summary: results.ResultSummary | None

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")


class StoredResult(msgspec.Struct, frozen=True):
    body: bytes
    type: str
    etag: str


_FIELDS = (
    "request", "status", "created", "created_at", "started", "alias", "withdrawn", "expected", "sampled",
    "units", "parts", "error", "summary",
)  # fmt: skip


class JobReader:
    """Reads job records.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions

    async def read(self, job_id: str) -> JobState | None:
        """The state of a job; None when there is no such job (any more)."""
        if not JOB_ID.fullmatch(job_id):
            return None
        mine = await self._fields(job_id)
        if mine["request"] is None:
            return None
        alias = mine["alias"].decode() if mine["alias"] else None
        fields = await self._fields(alias) if alias else mine
        if fields["request"] is None:
            return None
        if mine["withdrawn"]:
            fields = {**mine, "status": b"cancelled", "error": b"The job was cancelled."}
        request = msgspec.msgpack.decode(mine["request"], type=AnalyzeRequest)
        done = int(await self._redis.hlen(self._keys(alias or job_id).outcomes))
        stage, progress, expected = _progress(fields, done)
        summary = fields["summary"]
        return JobState(
            job_id=job_id,
            request=request,
            status=cast("results.JobState", (fields["status"] or b"queued").decode()),
            created=float(mine["created"] or 0),
            created_at=(mine["created_at"] or b"").decode(),
            alias=alias,
            stage=stage,
            progress=progress,
            done=done,
            sampled=await self._sampled(alias or job_id, fields),
            expected=expected,
            error=fields["error"].decode() if fields["error"] else None,
            summary=msgspec.json.decode(summary, type=results.ResultSummary) if summary else None,
        )

    async def result(self, state: JobState) -> StoredResult | None:
        """The encoded result of a completed job, without the ids that `result_json` puts in front."""
        key = self._keys(state.alias or state.job_id).result
        body, type_, etag = cast("list[bytes]", await self._redis.hmget(key, ["body", "type", "etag"]))
        return StoredResult(body, type_.decode(), etag.decode()) if body else None

    async def thumbnail(self, state: JobState, face_id: str) -> bytes | None:
        """The best shot of a person as JPEG; None when the job has no such face or keeps it no longer."""
        key = self._keys(state.alias or state.job_id).result
        return cast("bytes | None", await self._redis.hget(key, f"thumbnail:{face_id}"))

    async def pictures(self, state: JobState, face_ids: Sequence[str]) -> Pictures:
        """The pictures of these people that are kept."""
        return await read_pictures(self._redis, self._keys(state.alias or state.job_id).result, face_ids)

    async def _sampled(self, job_id: str, fields: dict[str, bytes | None]) -> int:
        if fields["units"] or not fields["parts"]:
            return int(fields["units"] or fields["sampled"] or 0)
        counters = [f"sampled:{part}" for part in range(int(fields["parts"]))]
        counts = await self._redis.hmget(self._keys(job_id).metadata, counters)
        return sum(int(count or 0) for count in cast("list[bytes | None]", counts))

    async def _fields(self, job_id: str) -> dict[str, bytes | None]:
        values = await self._redis.hmget(self._keys(job_id).metadata, list(_FIELDS))
        return dict(zip(_FIELDS, cast("list[bytes | None]", values), strict=True))

    async def latest(self, limit: int, before: float | None = None) -> list[JobState]:
        """Jobs by the time they were submitted, the latest first.

        Args:
            limit: the most jobs to return.
            before: Unix time in seconds; only jobs submitted earlier.
        """
        listed = [await self._latest_in(names, limit, before) for names in self._partitions.all]
        return sorted(chain.from_iterable(listed), key=lambda state: -state.created)[:limit]

    async def _latest_in(self, names: Names, limit: int, before: float | None) -> list[JobState]:
        found: list[JobState] = []
        upper: str | int = "+inf" if before is None else f"({int(before * 1000)}"
        skip = 0
        while len(found) < limit:
            ids = cast(
                "list[bytes]",
                await self._redis.zrange(
                    names.jobs, upper, "-inf", byscore=True, desc=True, offset=skip, num=limit
                ),
            )
            if not ids:
                break
            states = [await self.read(job.decode()) for job in ids]
            if gone := [job for job, state in zip(ids, states, strict=True) if state is None]:
                await self._redis.zrem(names.jobs, *gone)  # their records have expired
            found += [state for state in states if state is not None]
            skip += len(ids) - len(gone)
        return found[:limit]

    def _keys(self, job_id: str) -> JobKeys:
        return self._partitions.of(job_id).job(job_id)


def result_json(state: JobState, body: bytes) -> bytes:
    """The answer to a question after a result: the stored body with the asking job's ids in front."""
    ids = msgspec.json.encode({"job_id": state.job_id, "source_id": state.request.source_id})
    return ids[:-1] + b"," + body[1:]


def _progress(fields: dict[str, bytes | None], done: int) -> tuple[str, float, int]:
    status = (fields["status"] or b"queued").decode()
    expected = int(fields["units"] or fields["expected"] or fields["sampled"] or 0)
    if status in ("completed", "failed", "cancelled"):
        return status, 1.0 if status == "completed" else 0.0, expected
    if not fields["started"]:
        return "queued", 0.0, expected
    share = 0.95 * min(1.0, done / expected) if expected else 0.0
    if fields["units"] is None:
        return "frames", share, expected
    return ("analyze" if done < expected else "finalize"), share, expected
