"""The people so far of a running job, for somebody who looks at it while it runs.

Nobody puts faces together before a job's frames are complete, unless asked: the API publishes a preview message,
finalize answers it with what can be told by then, and that is kept for a minute. One message is under way for a job
at a time, and the next one waits a few times as long as the last one took, so that looking costs a small share of
finalize whatever the size of the job.
"""

from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import seal
from schemas.messages import PreviewTask
from schemas.names import Partitions
from schemas.results import ResultBody
from schemas.store.job_reader import JobState
from schemas.store.pictures import Pictures, picture_fields, read_pictures

MAX_PEOPLE = 100
"""The most people of a preview, the most present ones."""
PICTURE_PIXELS = 128
"""Pixels of their pictures."""
KEPT = 60
UNDER_WAY = 30.0
"""Seconds after which a message that nobody answered is sent again."""
PAUSE, SHARE = 2.0, 5.0
"""The least seconds between two previews, and how many times as long as one takes."""


class Previews:
    """Reads, asks for and writes previews.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions

    async def read(self, state: JobState) -> tuple[ResultBody, Pictures] | None:
        """The latest preview; None when there is none."""
        key = self._key(state.alias or state.job_id)
        body = await self._redis.hget(key, "body")
        if body is None:
            return None
        told = msgspec.json.decode(cast("bytes", body), type=ResultBody)
        return told, await read_pictures(self._redis, key, [face.face_id for face in told.faces])

    async def count(self, state: JobState) -> int | None:
        """How many people the latest preview has; None when there is none."""
        people = await self._redis.hget(self._key(state.alias or state.job_id), "people")
        return None if people is None else int(cast("bytes", people))

    async def ask(self, state: JobState) -> None:
        """Asks for a preview while frames are analysed, unless one is under way or was made just now."""
        if state.stage == "finalize" or not state.done:
            return
        job_id = state.alias or state.job_id
        if await self._redis.set(_asked(self._key(job_id)), 1, nx=True, px=int(UNDER_WAY * 1000)):
            message = seal("preview", job_id, "", PreviewTask())
            await self._redis.xadd(self._partitions.of(job_id).finalize, cast("Any", message))

    async def keep(self, job_id: str, body: ResultBody, pictures: Pictures, seconds: float) -> None:
        """Stores a preview.

        Args:
            body: embeddings are left out of it.
            seconds: that it took.
        """
        faces = [msgspec.structs.replace(face, embedding=[]) for face in body.faces]
        told = msgspec.json.encode(msgspec.structs.replace(body, faces=faces))
        fields = {"body": told, "people": body.metadata.unique_faces, **picture_fields(pictures)}
        key, pause = self._key(job_id), max(PAUSE, SHARE * seconds)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.unlink(key)
            pipe.hset(key, mapping=cast("Any", fields))
            pipe.expire(key, KEPT)
            pipe.set(_asked(key), 1, px=int(pause * 1000))
            await pipe.execute()

    def _key(self, job_id: str) -> str:
        return self._partitions.of(job_id).job(job_id).preview


def _asked(key: str) -> str:
    return f"{key}:asked"
