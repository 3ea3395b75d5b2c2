"""Figures of the streams between the stages: length, pending entries, age of the oldest."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from schemas.names import Names, Partitions
from schemas.store.clock import server_time
from schemas.store.fair_queue import waiting
from schemas.topology import stages


class Queue(msgspec.Struct, kw_only=True):
    """A stream; those of the same name in several partitions count as one.

    Attributes:
        stream: its name without the prefix.
        stage: the consumer group that reads it.
        entries: outstanding ones, with those in its fair queue; `held` of them are in the hands of workers,
            nobody has read the others.
        oldest_seconds: age of its first entry, 0 when it is empty.
    """

    stream: str
    stage: str
    entries: int = 0
    held: int = 0
    oldest_seconds: float = 0.0


async def measure(redis: Redis, partitions: Sequence[Names]) -> list[Queue]:
    """Measures every stream that a consumer group reads."""
    queues: dict[str, Queue] = {}
    for names in partitions:
        for stage in stages(names):
            for key in stage.streams:
                name = names.short(key)
                queue = queues.setdefault(name, Queue(stream=name, stage=stage.group))
                queue.entries += int(await redis.xlen(key))
                queue.entries += int(await redis.zcard(waiting(key))) if stage.fair else 0
                queue.held += await _pending(redis, key, stage.group)
                queue.oldest_seconds = max(queue.oldest_seconds, await _age(redis, key))
    return list(queues.values())


async def dead_letters(redis: Redis, partitions: Partitions) -> int:
    """Number of dead letters."""
    return sum([int(await redis.xlen(names.dead)) for names in partitions.all])


async def active_jobs(redis: Redis, partitions: Partitions) -> int:
    """Number of jobs that have not ended."""
    return sum([int(await redis.zcard(names.active)) for names in partitions.all])


async def _pending(redis: Redis, stream: str, group: str) -> int:
    try:
        return int((await redis.xpending(stream, group))["pending"])
    except ResponseError:
        return 0  # no worker has created the group yet


async def _age(redis: Redis, stream: str) -> float:
    """Seconds since the first entry of a stream was added, by the clock of the server that added it."""
    first = cast("list[tuple[bytes, Any]]", await redis.xrange(stream, count=1))
    if not first:
        return 0.0
    return max(0.0, await server_time(redis, stream) - int(first[0][0].split(b"-")[0]) / 1000)
