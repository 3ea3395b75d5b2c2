"""What was seen in the pictures of sources, kept beyond the jobs that looked: bounded in bytes and time, erasable.

Each source has a hash, under the fingerprint of its content. Its fields: a picture → encoded
schemas.observations.FrameFaces; ``picture/N`` → crop of its face N; ``emotion:…``, ``attributes:…`` → what is
estimated of a crop (consumers.best_shots); ``sampling:…`` → encoded schemas.observations.Sampling.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from redis.asyncio import Redis

from schemas.names import Names
from schemas.settings import Settings
from schemas.store.lua import Call, Value, flat, load, milliseconds, run, run_all
from schemas.store.submissions import RECORD_MARGIN_SECONDS

OBSERVE, FORGET, ADOPT = (load(__package__, name) for name in ("observe", "forget", "adopt"))
FIELDS_PER_READ = 64
"""Fields of a source that are copied in one round trip."""


class Observations:
    """The observations of a partition.

    Args:
        redis: client with ``decode_responses=False``.
        settings: limits of bytes and time.
    """

    def __init__(self, redis: Redis, names: Names, settings: Settings) -> None:
        self._redis = redis
        self._names = names
        self._settings = settings

    async def read(self, source: str, fields: Sequence[str]) -> list[bytes | None]:
        """Reads fields of a source; None for those that are not kept."""
        if not fields:
            return []
        found = await self._redis.hmget(self._names.observations(source), list(fields))
        return cast("list[bytes | None]", found)

    async def keep(
        self, source: str, job_id: str, fields: Mapping[str, bytes], run_id: str | None = None
    ) -> None:
        """Keeps fields of a source, and renews the life of all of it; forgets other sources where the limits say so.

        Args:
            run_id: run of the job; None: the job may have ended.
        """
        await self.forget(await run(self._redis, self.keeping(source, job_id, fields, run_id)))

    def keeping(
        self, source: str, job_id: str, fields: Mapping[str, bytes], run_id: str | None = None
    ) -> Call:
        """Returns the call of `keep`, whose reply goes to `forget`."""
        names, settings = self._names, self._settings
        kept = names.observations(source)
        record = kept if run_id is None else names.job(job_id).metadata
        keys = [record, kept, names.observers(source), *self._shared]
        args: list[Value] = [
            run_id or "",
            source,
            job_id,
            milliseconds(settings.observations_ttl),
            settings.observations_bytes,
        ]
        return Call(OBSERVE, keys, [*args, *flat(fields)])

    async def forget(self, sources: Sequence[bytes]) -> None:
        """Forgets sources."""
        for source in sources:
            await self._forget(source.decode())

    async def adopt(
        self,
        source: str,
        job_id: str,
        run_id: str,
        frames: Sequence[tuple[int, bytes, str, int]],
        outcome: bytes = b"",
    ) -> list[int]:
        """Gives frames of a job what was seen in the same pictures before; returns those that got it.

        Args:
            frames: index, encoded faces, picture and number of faces of each.
            outcome: recorded for each frame; empty: it is recorded otherwise.
        """
        keys, ttl = self._names.job(job_id), self._settings.job_deadline + RECORD_MARGIN_SECONDS
        kept = self._names.observations(source)
        calls = [
            Call(
                ADOPT,
                [keys.metadata, kept, keys.faces, keys.portraits, keys.outcomes],
                [run_id, milliseconds(ttl), index, faces, picture, count, outcome],
            )
            for index, faces, picture, count in frames
        ]
        replies = await run_all(self._redis, calls) if calls else []
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return [index for (index, *_), reply in zip(frames, replies, strict=True) if reply == 1]

    async def source_of(self, job_id: str) -> str:
        """Returns the source that a job has observed; empty: none that is still kept."""
        found = cast("bytes | None", await self._redis.hget(self._names.observed, job_id))
        return found.decode() if found else ""

    async def erase(self, job_id: str) -> None:
        """Erases what was seen in the source of a job, whichever job looked."""
        if source := await self.source_of(job_id):
            await self._forget(source)

    async def copy(self, source: str, target: "Observations", job_ids: Sequence[str] = ()) -> None:
        """Copies a source to another server, unless as much of it is there; and which jobs have observed it."""
        observers = cast("set[bytes]", await self._redis.smembers(self._names.observers(source)))
        jobs = job_ids or sorted(job.decode() for job in observers)
        if jobs and await self._size(source) != await target._size(source):
            found = self._redis.hscan_iter(self._names.observations(source), count=FIELDS_PER_READ)
            fields = dict[str, bytes]()
            async for name, value in found:
                fields[name.decode()] = value
                if len(fields) == FIELDS_PER_READ:
                    await target.keep(source, jobs[0], fields)
                    fields = {}
            await target.keep(source, jobs[0], fields)
        for job in jobs:
            await target.keep(source, job, {})

    async def _size(self, source: str) -> bytes | None:
        if not await self._redis.exists(self._names.observations(source)):
            return None
        return cast("bytes | None", await self._redis.hget(self._names.observation_sizes, source))

    async def _forget(self, source: str) -> None:
        names = self._names
        keys = [names.observations(source), names.observers(source), *self._shared]
        await run(self._redis, Call(FORGET, keys, [source]))

    @property
    def _shared(self) -> list[str]:
        names = self._names
        return [names.observation_ages, names.observation_sizes, names.observed]
