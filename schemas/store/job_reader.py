"""Reads job records: state, progress and result of a job (fields: schemas.store.job_record)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import msgspec
from redis.asyncio import Redis

from schemas import results
from schemas.names import JOB_ID, JobKeys, Names, Partitions
from schemas.requests import AnalyzeRequest
from schemas.store.coalescing import Coalescer
from schemas.store.job_index import unlist_expired
from schemas.store.job_record import rfc3339
from schemas.store.pictures import Pictures, read_pictures
from schemas.store.results import Face, ResultHead, read_face, read_head, read_parts
from schemas.webhooks import Callback

JOBS_PER_READ = 256
"""Jobs read in one round trip."""
MAX_FACE_READS = 4
"""Results that are searched for one face at the same time; each holds a part of a result in memory."""
MAX_JOBS_SEARCHED = 5000
"""Most jobs that are searched for one page of a filtered list."""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a job; where another job answers for it (`alias`), that job's state under this job's id.

    Attributes:
        kept: whether the job and its result are kept until they are deleted.
        expires_in: seconds until they are gone; None while the job runs, and when it is kept.
    """

    job_id: str
    video_path: str
    source_id: str | None
    library: str | None
    status: results.JobState
    created: float
    created_at: str
    started: float | None
    ended_at: float | None
    alias: str | None
    stage: str
    progress: float
    done: int
    sampled: int
    expected: int
    error: str | None
    summary: results.ResultSummary | None
    kept: bool
    expires_in: float | None

    @property
    def ended(self) -> bool:
        """Whether the job is completed, failed or cancelled."""
        return self.status in ("completed", "failed", "cancelled")


class JobPage(msgspec.Struct, frozen=True):
    """A page of the list of jobs.

    Attributes:
        next: cursor of the next page; None on the last one.
    """

    states: list[JobState]
    next: str | None


class StoredResult(msgspec.Struct, frozen=True):
    """An encoded result, without the ids of the job that asks for it."""

    body: bytes
    type: str
    etag: str


_FIELDS = (
    "video_path", "source_id", "library", "status", "created", "started", "ended", "alias", "alias_run", "run",
    "withdrawn", "expected", "sampled", "units", "parts", "error", "summary", "deleted", "kept",
)  # fmt: skip


_Record = tuple[dict[str, bytes | None], int, int]
"""Fields of a record, number of outcomes, time to live (ms)."""
_Place = tuple[int, str]
"""Position in the index of jobs: submission time (ms) and job id."""


class JobReader:
    """Reads states, results and lists of jobs.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions
        self._read = Coalescer(self.read_all)
        self._face_reads = asyncio.Semaphore(MAX_FACE_READS)

    async def read(self, job_id: str) -> JobState | None:
        """The state of a job; None when it does not exist or has expired."""
        return await self._read(job_id)

    async def read_all(self, job_ids: Sequence[str]) -> list[JobState | None]:
        """The state of each job, None for one that does not exist or has expired."""
        valid = sorted({job_id for job_id in job_ids if JOB_ID.fullmatch(job_id)})
        records = await self._records(valid)
        aliases = {record["alias"].decode() for record, *_ in records.values() if record["alias"]}
        records |= await self._records(sorted(aliases - records.keys()))
        parts = {job: int(r["parts"]) for job, (r, *_) in records.items() if r["parts"] and not r["units"]}
        counts = await self._counts(parts)
        states = {job_id: _state(job_id, records, counts) for job_id in valid if job_id in records}
        return [states.get(job_id) for job_id in job_ids]

    async def result(self, state: JobState) -> StoredResult | None:
        """The encoded result of a completed job, to which `result_json` adds the job's ids."""
        key = self._keys(state.alias or state.job_id).result
        found = await read_head(self._redis, key)
        if found is None:
            return None
        body = b"".join([part async for part in read_parts(self._redis, key, found)])
        return StoredResult(body, found.type, found.etag)

    async def result_head(self, state: JobState) -> ResultHead | None:
        """The first part of a result, for streaming it with `result_parts`."""
        return await read_head(self._redis, self._keys(state.alias or state.job_id).result)

    def result_parts(self, state: JobState, known: ResultHead) -> AsyncIterator[bytes]:
        """Reads the parts of a result in order (schemas.store.results.read_parts)."""
        return read_parts(self._redis, self._keys(state.alias or state.job_id).result, known)

    async def request(self, state: JobState) -> AnalyzeRequest | None:
        """The whole request of a job; None when its record has expired."""
        keys = self._keys(state.job_id)
        encoded = cast("bytes | None", await self._redis.hget(keys.metadata, "request"))
        if encoded is None:
            return None
        request = msgspec.msgpack.decode(encoded, type=AnalyzeRequest)
        callback = cast("bytes | None", await self._redis.hget(keys.callbacks, state.job_id))
        if callback is None:
            return request
        url = msgspec.json.decode(callback, type=Callback).url
        return msgspec.structs.replace(request, callback_url=url)

    async def face(self, state: JobState, face_id: str, type_: type[Face]) -> tuple[Face, str] | None:
        """One face of a result and the model pack of its embedding, read part by part until it is found.

        Args:
            type_: struct of the fields that are needed.

        Raises:
            KeyError: the result has no such face.

        Returns:
            None when there is no result.
        """
        key = self._keys(state.alias or state.job_id).result
        async with self._face_reads:
            head = await read_head(self._redis, key)
            return None if head is None else await read_face(self._redis, key, head, face_id, type_)

    async def thumbnail(self, state: JobState, face_id: str) -> bytes | None:
        """The best shot of a person as JPEG; None when the job has no such face or its result has expired."""
        key = self._keys(state.alias or state.job_id).result
        return cast("bytes | None", await self._redis.hget(key, f"thumbnail:{face_id}"))

    async def pictures(self, state: JobState, face_ids: Sequence[str]) -> Pictures:
        """The pictures of these people."""
        return await read_pictures(self._redis, self._keys(state.alias or state.job_id).result, face_ids)

    async def _records(self, job_ids: Sequence[str]) -> dict[str, _Record]:
        """The record of each job that exists."""
        found: dict[str, _Record] = {}
        for start in range(0, len(job_ids), JOBS_PER_READ):
            some = job_ids[start : start + JOBS_PER_READ]
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in some:
                    keys = self._keys(job_id)
                    pipe.hmget(keys.metadata, _FIELDS)
                    pipe.hlen(keys.outcomes)
                    pipe.pttl(keys.metadata)
                answers = await pipe.execute()
            for job_id, values, done, ttl in zip(
                some, answers[::3], answers[1::3], answers[2::3], strict=True
            ):
                record = dict(zip(_FIELDS, cast("list[bytes | None]", values), strict=True))
                if record["created"] is not None:
                    found[job_id] = record, done, ttl
            for job_id in some:  # a record of an earlier version: its request has the names
                if job_id in found and found[job_id][0]["video_path"] is None:
                    await self._add_names(job_id, found[job_id][0])
        return found

    async def _add_names(self, job_id: str, record: dict[str, bytes | None]) -> None:
        encoded = cast("bytes | None", await self._redis.hget(self._keys(job_id).metadata, "request"))
        if encoded is not None:
            request = msgspec.msgpack.decode(encoded, type=AnalyzeRequest)
            record["video_path"] = request.video_path.encode()
            record["source_id"] = None if request.source_id is None else request.source_id.encode()

    async def _counts(self, parts: dict[str, int]) -> dict[str, int]:
        """Frames sampled so far of films in parts, which are counted part by part."""
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
        matches: Callable[[JobState], bool] = lambda _: True,
        since: float | None = None,
        until: float | None = None,
    ) -> JobPage:
        """Lists jobs by submission time, latest first.

        Args:
            limit: most jobs to return.
            cursor: `next` of the previous page (api.queries.Cursor).
            matches: which jobs to return; the page ends after `MAX_JOBS_SEARCHED` jobs, however few of them match.
            since, until: Unix seconds; only jobs submitted in since ≤ t < until.
        """
        lowest = "-inf" if since is None else str(int(since * 1000))
        place = _place(cursor) if cursor else None
        upper = None if until is None else int(until * 1000)
        found: list[JobState] = []
        for _ in range(0, MAX_JOBS_SEARCHED, JOBS_PER_READ):
            lists = [await self._index(names, place, lowest, upper) for names in self._partitions.all]
            entries = sorted((entry for listed in lists for entry in listed), reverse=True)[:JOBS_PER_READ]
            states = await self.read_all([job_id for _, job_id in entries])
            await self._unlist(
                [job for (_, job), state in zip(entries, states, strict=True) if state is None]
            )
            for entry, state in zip(entries, states, strict=True):
                place = entry
                if state is not None and matches(state):
                    found.append(state)
                    if len(found) == limit:
                        return JobPage(found, _cursor(place))
            if len(entries) < JOBS_PER_READ:
                return JobPage(found, None)
        assert place is not None
        return JobPage(found, _cursor(place))

    async def _index(
        self, names: Names, place: _Place | None, lowest: str, upper: int | None
    ) -> list[_Place]:
        """The entries of a partition's index that follow a position, latest first."""
        if place is not None and (upper is None or place[0] < upper):
            highest, skip = str(place[0]), place[1]
        else:
            highest, skip = "+inf" if upper is None else f"({upper}", ""
        listed: list[_Place] = []
        offset = 0
        while len(listed) < JOBS_PER_READ:
            answer = await self._redis.zrange(
                names.jobs, highest, lowest, byscore=True, desc=True, offset=offset, num=JOBS_PER_READ,
                withscores=True,
            )  # fmt: skip
            entries = [(int(score), job.decode()) for job, score in cast("list[tuple[bytes, float]]", answer)]
            listed += [entry for entry in entries if not skip or entry < (int(highest), skip)]
            if len(entries) < JOBS_PER_READ:
                break
            offset += JOBS_PER_READ
        return listed[:JOBS_PER_READ]

    async def _unlist(self, job_ids: Sequence[str]) -> None:
        """Removes jobs whose records have expired from the index."""
        for names in self._partitions.all:
            expired = [job_id for job_id in job_ids if self._partitions.of(job_id) is names]
            await unlist_expired(self._redis, names, expired)

    def _keys(self, job_id: str) -> JobKeys:
        return self._partitions.of(job_id).job(job_id)


def result_json(state: JobState | results.JobResult, body: bytes) -> bytes:
    """Returns the response for a result: the stored body, with the ids of the requested job in front."""
    ids = msgspec.json.encode({"job_id": state.job_id, "source_id": state.source_id})
    return ids[:-1] + b"," + body[1:]


def _state(job_id: str, records: dict[str, _Record], counts: dict[str, int]) -> JobState | None:
    mine, _, ttl = records[job_id]
    alias = mine["alias"].decode() if mine["alias"] else None
    if mine["deleted"] or (alias or job_id) not in records:
        return None
    if alias and mine["alias_run"] and mine["alias_run"] != records[alias][0]["run"]:
        return None  # the run that answered has expired, and that job runs again
    fields, done, leader_ttl = records[alias or job_id]
    if mine["withdrawn"]:
        fields = {**mine, "status": b"cancelled", "error": b"The job was cancelled."}
    kept, running = mine["kept"] is not None, fields["ended"] is None and not mine["withdrawn"]
    sampled = counts.get(alias or job_id) or int(fields["units"] or fields["sampled"] or 0)
    stage, progress, expected = _progress(fields, done, sampled)
    summary, created = fields["summary"], float(mine["created"] or 0)
    return JobState(
        job_id=job_id,
        video_path=(mine["video_path"] or b"").decode(),
        source_id=mine["source_id"].decode() if mine["source_id"] is not None else None,
        library=mine["library"].decode() if mine["library"] is not None else None,
        status=cast("results.JobState", (fields["status"] or b"queued").decode()),
        created=created,
        created_at=rfc3339(created),
        started=_seconds(fields["started"]),
        ended_at=_seconds(fields["ended"]),
        alias=alias,
        stage=stage,
        progress=progress,
        done=done,
        sampled=sampled,
        expected=expected,
        error=fields["error"].decode() if fields["error"] else None,
        summary=msgspec.json.decode(summary, type=results.ResultSummary) if summary else None,
        kept=kept,
        expires_in=None if kept or running else max(0, min(ttl, leader_ttl)) / 1000,
    )


def _seconds(field: bytes | None) -> float | None:
    return None if field is None else float(field)


def _cursor(place: _Place) -> str:
    return f"{place[0]}~{place[1]}"


def _place(cursor: str) -> _Place:
    submitted, _, job_id = cursor.partition("~")
    return int(submitted), job_id


def _progress(fields: dict[str, bytes | None], done: int, sampled: int) -> tuple[str, float, int]:
    """Returns stage, progress and the number of frames, which is an estimate until all are sampled: it is never
    below what is sampled or done; 0: unknown."""
    status = (fields["status"] or b"queued").decode()
    expected = int(fields["units"] or fields["expected"] or fields["sampled"] or 0)
    expected = max(expected, sampled, done) if expected else 0
    if status in ("completed", "failed", "cancelled"):
        return status, 1.0 if status == "completed" else 0.0, expected
    if not fields["started"]:
        return "queued", 0.0, expected
    share = 0.95 * min(1.0, done / expected) if expected else 0.0
    if fields["units"] is None:
        return "frames", share, expected
    return ("analyze" if done < expected else "finalize"), share, expected
