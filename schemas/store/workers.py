"""The list of running workers, so that health can name models without loading any."""

from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.names import Names
from schemas.store.clock import server_time

ANNOUNCE_SECONDS = 15.0
"""Interval between a worker's announcements."""
ALIVE_SECONDS = 60.0
"""A worker whose last announcement is older counts as dead."""


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker's announcement.

    Attributes:
        stage: name of the stage.
        consumer: its name in the consumer group.
        seen: Unix seconds of the announcement, by the clock of the server.
        pack, providers, models: set by workers that have loaded models.
        observer, min_confidence: the same; who observes (`consumers.observer.observer_of`), and the pack's default.
    """

    stage: str
    consumer: str
    seen: float = 0.0
    pack: str | None = None
    providers: tuple[str, ...] = ()
    models: dict[str, str] = {}
    observer: str = ""
    min_confidence: float | None = None


async def announce(redis: Redis, names: Names, info: WorkerInfo) -> None:
    """Announces a worker; to be repeated every `ANNOUNCE_SECONDS`."""
    info = msgspec.structs.replace(info, seen=await server_time(redis, names.workers))
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hset(names.workers, info.consumer, cast("Any", msgspec.json.encode(info)))
        pipe.expire(names.workers, int(ALIVE_SECONDS * 2))
        await pipe.execute()


async def withdraw(redis: Redis, names: Names, consumer: str) -> None:
    """Removes a worker from the list."""
    await redis.hdel(names.workers, consumer)


async def alive(redis: Redis, names: Names) -> list[WorkerInfo]:
    """The workers announced within `ALIVE_SECONDS`; removes the others from the list."""
    stored = await redis.hgetall(names.workers)
    infos = [msgspec.json.decode(value, type=WorkerInfo) for value in stored.values()]
    oldest = await server_time(redis, names.workers) - ALIVE_SECONDS
    if dead := [info.consumer for info in infos if info.seen < oldest]:
        await redis.hdel(names.workers, *dead)
    return sorted((info for info in infos if info.seen >= oldest), key=lambda info: info.consumer)
