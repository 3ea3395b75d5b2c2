"""Questions that a caller waits for the answer to: asked over a stream, answered into a list of their own.

Whoever asks makes up a name for the question; what is searched for lies under it, and so does the answer, both for a
minute. A task that is delivered twice is answered twice, and nobody fetches the second answer.
"""

import secrets
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw
from redis.asyncio import Redis

from schemas.envelope import seal
from schemas.messages import SearchTask
from schemas.names import Names
from schemas.store.collections import MOST_WAITING, SAME_PERSON, Busy

Limit = Annotated[int, Meta(ge=1, le=100)]
Threshold = Annotated[float, Meta(ge=-1.0, le=1.0)]
LIMIT = 10
KEPT = 60
"""Seconds."""
LOOK_EVERY = 2.0
"""Seconds that one read waits on the server."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is searched for: a photograph until its embedding is known.

    Attributes:
        embedding: 512 little-endian float32, of any length.
        model: the pack it comes from; None: the caller alone knows.
        seen: of a photograph: which face it is, a `SeenFace`.
    """

    photograph: bytes = b""
    embedding: bytes = b""
    model: str | None = None
    seen: "SeenFace | None" = None


class SeenFace(msgspec.Struct, frozen=True, kw_only=True):
    """The face of a photograph that was searched for, the largest one.

    Attributes:
        bbox: x_min, y_min, x_max, y_max in pixels of the photograph.
        faces: how many there are in it.
    """

    bbox: tuple[int, int, int, int]
    confidence: float
    faces: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: label is the person's, face_id his most similar enrolled face, similarity the cosine."""

    person_id: str
    label: str
    face_id: str
    similarity: float


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a search.

    Attributes:
        threshold: people who are less similar are left out.
        matches: the most similar person first.
        searched: how many faces were compared.
        face: of the photograph, when it was one.
    """

    collection: str
    threshold: float
    matches: list[Found]
    searched: int
    face: SeenFace | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to look for: an embedding, or a face of a completed job.

    Attributes:
        embedding: 512 numbers, or base64 of as many little-endian 32-bit floats; of any length but 0.
        limit: the most people to answer with.
        threshold: cosine similarity below which nobody is a match.
    """

    embedding: Annotated[list[float], Meta(min_length=512, max_length=512)] | str | None = None
    job_id: str | None = None
    face_id: str | None = None
    limit: Limit = LIMIT
    threshold: Threshold = SAME_PERSON


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Attributes: status as HTTP has it; detail for a problem, body (JSON) for anything else."""

    status: int = 200
    detail: str = ""
    body: Raw = Raw(b"null")


def new_question() -> str:
    return secrets.token_hex(12)


class Questions:
    """Args: names: of the home partition."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def search(self, task: SearchTask, probe: Probe, traceparent: str) -> None:
        """Asks who it is.

        Raises:
            Busy: too many tasks wait.
        """
        stream, type_ = (
            (self._names.photographs, "photograph")
            if probe.photograph
            else (self._names.collections, "search")
        )
        if int(await self._redis.xlen(stream)) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} searches wait already; try again later")
        await self.put(task.question, probe)
        message = seal(type_, "", task.question, task, traceparent=traceparent)
        await self._redis.xadd(stream, cast("dict[Any, Any]", message))

    async def put(self, question: str, probe: Probe) -> None:
        await self._redis.set(self._names.search(question), msgspec.msgpack.encode(probe), ex=KEPT)

    async def probe(self, question: str) -> Probe | None:
        """None: nobody waits any more."""
        stored = cast("bytes | None", await self._redis.get(self._names.search(question)))
        return msgspec.msgpack.decode(stored, type=Probe) if stored else None

    async def reply(self, question: str, answer: Answer) -> None:
        if not question:
            return
        key = self._names.answer(question)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, cast("Any", msgspec.json.encode(answer)))
            pipe.expire(key, KEPT)
            await pipe.execute()
        await self._redis.unlink(self._names.search(question))

    async def wait(self, question: str, seconds: float) -> Answer | None:
        """None: no answer within so many seconds."""
        for _ in range(max(1, round(seconds / LOOK_EVERY))):
            told = await cast("Any", self._redis.blpop([self._names.answer(question)], LOOK_EVERY))
            if told is not None:
                return msgspec.json.decode(told[1], type=Answer)
        return None
