"""What the job record says: state, progress and result of a job. schemas.store.jobs has its fields."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.names import JOB_ID, JobKeys, Names, Partitions
from schemas.requests import AnalyzeRequest
from schemas.store.coalescing import Coalescer
from schemas.store.pictures import Pictures, read_pictures
from schemas.store.results import ResultHead, read_head, read_parts

READ_AT_ONCE = 256
"""Jobs of one answer of the server."""
MAX_JOBS_PER_PAGE = 5000
"""Jobs that one page of a list is picked from at most."""


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


class JobPage(msgspec.Struct, frozen=True):
    """Attributes: next: where the list goes on; None at its end."""

    states: list[JobState]
    next: str | None


class StoredResult(msgspec.Struct, frozen=True):
    body: bytes
    type: str
    etag: str


_FIELDS = (
    "request", "status", "created", "created_at", "started", "alias", "withdrawn", "expected", "sampled",
    "units", "parts", "error", "summary",
)  # fmt: skip


_Record = tuple[dict[str, bytes | None], int]
_Place = tuple[int, str]
"""Where in the index a job stands: when it was submitted (ms), and its id."""


class JobReader:
    """Reads job records.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions
        self._read = Coalescer(self.read_all)

    async def read(self, job_id: str) -> JobState | None:
        """The state of a job; None when there is no such job (any more)."""
        return await self._read(job_id)

    async def read_all(self, job_ids: Sequence[str]) -> list[JobState | None]:
        """The states of many jobs, each as `read` tells it."""
        asked = sorted({job_id for job_id in job_ids if JOB_ID.fullmatch(job_id)})
        records = await self._records(asked)
        aliases = {record["alias"].decode() for record, _ in records.values() if record["alias"]}
        records |= await self._records(sorted(aliases - records.keys()))
        parts = {job: int(r["parts"]) for job, (r, _) in records.items() if r["parts"] and not r["units"]}
        counts = await self._counts(parts)
        states = {job_id: _state(job_id, records, counts) for job_id in asked if job_id in records}
        return [states.get(job_id) for job_id in job_ids]

    async def result(self, state: JobState) -> StoredResult | None:
        """The encoded result of a completed job, without the ids that `result_json` puts in front."""
        key = self._keys(state.alias or state.job_id).result
        found = await read_head(self._redis, key)
        if found is None:
            return None
        body = b"".join([part async for part in read_parts(self._redis, key, found)])
        return StoredResult(body, found.type, found.etag)

    async def result_head(self, state: JobState) -> ResultHead | None:
        """The beginning of what `result` tells, for who hands it on."""
        return await read_head(self._redis, self._keys(state.alias or state.job_id).result)

    def result_parts(self, state: JobState, known: ResultHead) -> AsyncIterator[bytes]:
        """See schemas.store.results.read_parts."""
        return read_parts(self._redis, self._keys(state.alias or state.job_id).result, known)

    async def thumbnail(self, state: JobState, face_id: str) -> bytes | None:
        """The best shot of a person as JPEG; None when the job has no such face or keeps it no longer."""
        key = self._keys(state.alias or state.job_id).result
        return cast("bytes | None", await self._redis.hget(key, f"thumbnail:{face_id}"))

    async def pictures(self, state: JobState, face_ids: Sequence[str]) -> Pictures:
        """The pictures of these people that are kept."""
        return await read_pictures(self._redis, self._keys(state.alias or state.job_id).result, face_ids)

    async def _records(self, job_ids: Sequence[str]) -> dict[str, _Record]:
        """Fields of the record, and the number of outcomes, of those of the jobs that there are."""
        found: dict[str, _Record] = {}
        for start in range(0, len(job_ids), READ_AT_ONCE):
            some = job_ids[start : start + READ_AT_ONCE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in some:
                    keys = self._keys(job_id)
                    pipe.hmget(keys.metadata, _FIELDS)
                    pipe.hlen(keys.outcomes)
                answers = await pipe.execute()
            for job_id, values, done in zip(some, answers[::2], answers[1::2], strict=True):
                record = dict(zip(_FIELDS, cast("list[bytes | None]", values), strict=True))
                if record["request"] is not None:
                    found[job_id] = record, done
        return found

    async def _counts(self, parts: dict[str, int]) -> dict[str, int]:
        """Frames sampled so far of films in parts, whose parts are counted one by one."""
        if not parts:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id, number in parts.items():
                pipe.hmget(self._keys(job_id).metadata, [f"sampled:{part}" for part in range(number)])
            answers = await pipe.execute()
        return {job: sum(int(n or 0) for n in counts) for job, counts in zip(parts, answers, strict=True)}

    async def latest(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        wanted: Callable[[JobState], bool] = lambda _: True,
        since: float | None = None,
        until: float | None = None,
    ) -> JobPage:
        """Jobs by the time they were submitted, the latest first.

        Args:
            limit: the most jobs to return.
            cursor: `next` of the page before (api.queries.Cursor).
            wanted: which jobs to return; after `MAX_JOBS_PER_PAGE` jobs the page ends, however few were.
            since, until: Unix seconds; only jobs submitted at or after the one, before the other.
        """
        lowest = "-inf" if since is None else str(int(since * 1000))
        place = _place(cursor) if cursor else None
        upper = None if until is None else int(until * 1000)
        found: list[JobState] = []
        for _ in range(0, MAX_JOBS_PER_PAGE, READ_AT_ONCE):
            lists = [await self._index(names, place, lowest, upper) for names in self._partitions.all]
            entries = sorted((entry for listed in lists for entry in listed), reverse=True)[:READ_AT_ONCE]
            states = await self.read_all([job_id for _, job_id in entries])
            await self._forget(
                [job for (_, job), state in zip(entries, states, strict=True) if state is None]
            )
            for entry, state in zip(entries, states, strict=True):
                place = entry
                if state is not None and wanted(state):
                    found.append(state)
                    if len(found) == limit:
                        return JobPage(found, _cursor(place))
            if len(entries) < READ_AT_ONCE:
                return JobPage(found, None)
        assert place is not None
        return JobPage(found, _cursor(place))

    async def _index(
        self, names: Names, place: _Place | None, lowest: str, upper: int | None
    ) -> list[_Place]:
        """The next entries of a partition's index after a place, the latest first."""
        if place is not None and (upper is None or place[0] < upper):
            highest, skip = str(place[0]), place[1]
        else:
            highest, skip = "+inf" if upper is None else f"({upper}", ""
        listed: list[_Place] = []
        offset = 0
        while len(listed) < READ_AT_ONCE:
            answer = await self._redis.zrange(
                names.jobs, highest, lowest, byscore=True, desc=True, offset=offset, num=READ_AT_ONCE,
                withscores=True,
            )  # fmt: skip
            entries = [(int(score), job.decode()) for job, score in cast("list[tuple[bytes, float]]", answer)]
            listed += [entry for entry in entries if not skip or entry < (int(highest), skip)]
            if len(entries) < READ_AT_ONCE:
                break
            offset += READ_AT_ONCE
        return listed[:READ_AT_ONCE]

    async def _forget(self, job_ids: Sequence[str]) -> None:
        """Takes jobs whose records have expired off the index."""
        for job_id in job_ids:
            await self._redis.zrem(self._partitions.of(job_id).jobs, job_id)

    def _keys(self, job_id: str) -> JobKeys:
        return self._partitions.of(job_id).job(job_id)


def result_json(state: JobState, body: bytes) -> bytes:
    """The answer to a question after a result: the stored body with the asking job's ids in front."""
    ids = msgspec.json.encode({"job_id": state.job_id, "source_id": state.request.source_id})
    return ids[:-1] + b"," + body[1:]


def _state(job_id: str, records: dict[str, _Record], counts: dict[str, int]) -> JobState | None:
    mine, _ = records[job_id]
    alias = mine["alias"].decode() if mine["alias"] else None
    if (alias or job_id) not in records:
        return None
    fields, done = records[alias or job_id]
    if mine["withdrawn"]:
        fields = {**mine, "status": b"cancelled", "error": b"The job was cancelled."}
    stage, progress, expected = _progress(fields, done)
    summary = fields["summary"]
    return JobState(
        job_id=job_id,
        request=msgspec.msgpack.decode(mine["request"] or b"", type=AnalyzeRequest),
        status=cast("results.JobState", (fields["status"] or b"queued").decode()),
        created=float(mine["created"] or 0),
        created_at=(mine["created_at"] or b"").decode(),
        alias=alias,
        stage=stage,
        progress=progress,
        done=done,
        sampled=counts.get(alias or job_id) or int(fields["units"] or fields["sampled"] or 0),
        expected=expected,
        error=fields["error"].decode() if fields["error"] else None,
        summary=msgspec.json.decode(summary, type=results.ResultSummary) if summary else None,
    )


def _cursor(place: _Place) -> str:
    return f"{place[0]}~{place[1]}"


def _place(cursor: str) -> _Place:
    submitted, _, job_id = cursor.partition("~")
    return int(submitted), job_id


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
