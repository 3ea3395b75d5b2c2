"""What running workers say of themselves, so that health can name models without loading any."""

import time
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.names import Names

ANNOUNCE_SECONDS = 15.0
ALIVE_SECONDS = 60.0


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Attributes: models is only set by a worker that has loaded some."""

    stage: str
    consumer: str
    seen: float
    pack: str | None = None
    providers: tuple[str, ...] = ()
    models: dict[str, str] = {}


async def announce(redis: Redis, names: Names, info: WorkerInfo) -> None:
    """Says that a worker is alive; to be repeated every `ANNOUNCE_SECONDS` seconds."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hset(names.workers, info.consumer, cast("Any", msgspec.json.encode(info)))
        pipe.expire(names.workers, int(ALIVE_SECONDS * 2))
        await pipe.execute()


async def withdraw(redis: Redis, names: Names, consumer: str) -> None:
    await redis.hdel(names.workers, consumer)


async def alive(redis: Redis, names: Names) -> list[WorkerInfo]:
    """The workers that were heard of within `ALIVE_SECONDS` seconds; forgets the others."""
    told = await redis.hgetall(names.workers)
    infos = [msgspec.json.decode(value, type=WorkerInfo) for value in told.values()]
    late = time.time() - ALIVE_SECONDS
    if gone := [info.consumer for info in infos if info.seen < late]:
        await redis.hdel(names.workers, *gone)
    return sorted((info for info in infos if info.seen >= late), key=lambda info: info.consumer)
