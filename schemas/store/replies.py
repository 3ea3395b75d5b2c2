"""Replies that a caller waits for: the request goes over a stream, the reply into a list of its own.

Whoever asks makes up a name for the question; what is searched for lies under it, and so does the answer, both for a
minute. A task that is delivered twice is answered twice, and nobody fetches the second answer.
"""

import secrets
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import seal
from schemas.messages import SearchTask
from schemas.names import Names
from schemas.questions import Answer, Probe
from schemas.store.collections import MAX_QUEUED_TASKS, Busy

KEPT = 60
"""Seconds."""
LOOK_EVERY = 2.0
"""Seconds that one read waits on the server."""


def new_question() -> str:
    return secrets.token_hex(12)


class Replies:
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
        if int(await self._redis.xlen(stream)) >= MAX_QUEUED_TASKS:
            raise Busy(f"{MAX_QUEUED_TASKS} searches wait already; try again later")
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
