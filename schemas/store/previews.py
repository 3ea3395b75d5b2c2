"""Previews: the people found so far in a running job.

A preview is made on request only: the API publishes a preview message, finalize clusters the faces stored by then,
and the result is kept for a minute. A job has one such message in flight at a time, and the pause before the next one
is a multiple of the time the last one took, so that previews take a bounded share of finalize for any job.
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
from schemas.store.run_data import HashFields, Kept, keep_all

MAX_PEOPLE = 100
"""Most people in a preview, the most present ones."""
PICTURE_PIXELS = 128
"""Side of a preview's pictures."""
PREVIEW_TTL_SECONDS = 60
REQUEST_TTL_SECONDS = 30.0
"""After this time without a preview its message is resent."""
MIN_PAUSE_SECONDS = 2.0
PAUSE_FACTOR = 5.0
"""The pause after a preview is this many times the time it took: previews take at most a sixth of finalize."""


class Previews:
    """Requests, stores and reads previews.

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
        preview = msgspec.json.decode(cast("bytes", body), type=ResultBody)
        return preview, await read_pictures(self._redis, key, [face.face_id for face in preview.faces])

    async def count(self, state: JobState) -> int | None:
        """Number of people in the latest preview; None when there is none."""
        people = await self._redis.hget(self._key(state.alias or state.job_id), "people")
        return None if people is None else int(cast("bytes", people))

    async def ask(self, state: JobState) -> None:
        """Requests a preview while frames are analysed, unless one is in flight or recent."""
        if state.stage == "finalize" or not state.done:
            return
        job_id = state.alias or state.job_id
        if await self._redis.set(
            _requested(self._key(job_id)), 1, nx=True, px=int(REQUEST_TTL_SECONDS * 1000)
        ):
            message = seal("preview", job_id, "", PreviewTask())
            await self._redis.xadd(self._partitions.of(job_id).finalize, cast("Any", message))

    async def keep(self, job_id: str, run: str, body: ResultBody, pictures: Pictures, seconds: float) -> None:
        """Stores a preview, while the run that it is of goes on.

        Args:
            body: stored without embeddings.
            seconds: time that the preview took.
        """
        faces = [msgspec.structs.replace(face, embedding=[]) for face in body.faces]
        encoded = msgspec.json.encode(msgspec.structs.replace(body, faces=faces))
        fields = {"body": encoded, "people": body.metadata.unique_faces, **picture_fields(pictures)}
        record = self._partitions.of(job_id).job(job_id).metadata
        key, pause = self._key(job_id), max(MIN_PAUSE_SECONDS, PAUSE_FACTOR * seconds)
        kept = HashFields(key, PREVIEW_TTL_SECONDS, fields, replaces=True)
        if all(await keep_all(self._redis, [Kept(record, run, [kept])])):
            await self._redis.set(_requested(key), 1, px=int(pause * 1000))

    def _key(self, job_id: str) -> str:
        return self._partitions.of(job_id).job(job_id).preview


def _requested(key: str) -> str:
    return f"{key}:asked"
