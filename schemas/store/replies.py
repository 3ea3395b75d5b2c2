"""Replies that a caller waits for: the request goes over a stream, the reply into a list of its own.

The caller chooses a random id, the question. What is searched for is stored under it for as long as the caller waits,
and the reply for a minute. A task that is delivered twice is answered twice; the second reply expires unread.
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

REPLY_TTL_SECONDS = 60
BLOCK_SECONDS = 2.0
"""Time that one read blocks on the server."""


def new_question() -> str:
    """A random id for a question."""
    return secrets.token_hex(12)


class Replies:
    """Sends searches to the workers, and their replies to the callers.

    Args:
        names: of the home partition.
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def search(self, task: SearchTask, probe: Probe, seconds: float, traceparent: str) -> None:
        """Publishes a search.

        Args:
            seconds: time that the caller waits; after that the question expires, and no worker handles the task.

        Raises:
            Busy: too many tasks wait.
        """
        stream, type_ = self._names.library if task.library else self._names.collections, "search"
        if probe.photograph:
            stream, type_ = self._names.photographs, "photograph"
        if int(await self._redis.xlen(stream)) >= MAX_QUEUED_TASKS:
            raise Busy(f"{MAX_QUEUED_TASKS} searches wait already; try again later")
        await self._redis.set(self._names.search(task.question), _encoded(probe), px=int(seconds * 1000))
        message = seal(type_, "", task.question, task, traceparent=traceparent)
        await self._redis.xadd(stream, cast("dict[Any, Any]", message))

    async def replace(self, question: str, probe: Probe) -> None:
        """Replaces what is searched for, unless the question has expired."""
        await self._redis.set(self._names.search(question), _encoded(probe), xx=True, keepttl=True)

    async def probe(self, question: str) -> Probe | None:
        """What is searched for; None when the question has expired."""
        stored = cast("bytes | None", await self._redis.get(self._names.search(question)))
        return msgspec.msgpack.decode(stored, type=Probe) if stored else None

    async def reply(self, question: str, answer: Answer) -> None:
        """Stores the reply to a question, if there is one (a task may have no waiting caller)."""
        if not question:
            return
        key = self._names.answer(question)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, cast("Any", msgspec.json.encode(answer)))
            pipe.expire(key, REPLY_TTL_SECONDS)
            await pipe.execute()
        await self._redis.unlink(self._names.search(question))

    async def wait(self, question: str, seconds: float) -> Answer | None:
        """The reply to a question; None when there is none within so many seconds."""
        for _ in range(max(1, round(seconds / BLOCK_SECONDS))):
            popped = await cast("Any", self._redis.blpop([self._names.answer(question)], BLOCK_SECONDS))
            if popped is not None:
                return msgspec.json.decode(popped[1], type=Answer)
        return None


def _encoded(probe: Probe) -> bytes:
    return msgspec.msgpack.encode(probe)
