"""Conditions that tests wait for, and stages whose handlers succeed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, cast

import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime.connection import ensure_group
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Delivery
from tests.consumers.runtime.chain import Keys, Unit, Units
from tests.consumers.runtime.world import World


class Quick(Units):
    """Completes every unit at once: the stage after its bug was fixed."""

    async def handle(self, batch: Sequence[Delivery[Unit]]) -> Sequence[Completion | Exception]:
        return [
            Completion(
                self.keys.fan_in(d.envelope.job),
                str(d.envelope.body.n),
                d.envelope.id.replace("/unit", "").encode(),
            )
            for d in batch
        ]


class Sized(Quick):
    """Records the size of every batch."""

    def __init__(self, name: str, redis: Redis, keys: Keys) -> None:
        super().__init__(name, redis, keys)
        self.sizes: list[int] = []

    async def handle(self, batch: Sequence[Delivery[Unit]]) -> Sequence[Completion | Exception]:
        self.sizes.append(len(batch))
        return await super().handle(batch)


async def deliver(world: World, stream: str, fields: dict[bytes, bytes]) -> tuple[Owner, str]:
    """Adds an entry and delivers it to a consumer."""
    owner = Owner(stream, "units", "taker")
    await ensure_group(world.redis, stream, owner.group)
    entry = cast("bytes", await world.redis.xadd(stream, cast("Any", fields)))
    await world.redis.xreadgroup(owner.group, owner.consumer, {stream: ">"})
    return owner, entry.decode()


async def empty(redis: Redis, stream: str) -> bool:
    return not await redis.xlen(stream)


async def drained(world: World) -> bool:
    return (
        not await world.redis.xlen(world.keys.units)
        and not await world.pending(world.keys.units, "units")
        and (not await world.redis.exists(f"{world.keys.units}:delayed"))
    )


async def idle(world: World, owner: Owner, at_least: int) -> bool:
    return all(e["time_since_delivered"] > at_least for e in await world.pending(owner.stream, owner.group))


async def idle_consumer(world: World, owner: Owner, name: str, at_least: int) -> bool:
    consumers = await world.redis.xinfo_consumers(owner.stream, owner.group)
    return any(c["name"] == name.encode() and c["idle"] > at_least for c in consumers)


async def refused(redis: Redis) -> bool:
    try:
        await redis.set("{t}:probe", "x", ex=1)
    except sync_redis.OutOfMemoryError:
        return True
    return False


async def at_least(value: Awaitable[int], least: int) -> bool:
    return await value >= least


async def refused_calls(redis: Redis) -> int:
    """Returns how many script calls have failed since the server started."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("failed_calls", 0))


async def calls_refused(redis: Redis, least: int) -> bool:
    return await refused_calls(redis) >= least


@contextlib.asynccontextmanager
async def long_script(redis: Redis) -> AsyncIterator[None]:
    """Keeps the server busy with a script."""
    await redis.config_set("lua-time-limit", "20")
    script = asyncio.create_task(redis.eval("while true do end", 0))
    try:
        while not await _busy(redis):
            await asyncio.sleep(0.01)
        yield
    finally:
        await redis.script_kill()
        await asyncio.gather(script, return_exceptions=True)
        await redis.config_set("lua-time-limit", "5000")


async def _busy(redis: Redis) -> bool:
    try:
        return not await redis.ping()
    except ResponseError as error:
        return "BUSY" in str(error)
