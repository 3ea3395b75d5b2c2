"""On every server: reading and back-pressure, shutdown, removal of consumers, leader election."""

import asyncio

from consumers.runtime import scripts
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion
from consumers.runtime.sweeper import Sweeper
from consumers.runtime.worker import UNOWNED
from schemas.store import lua
from tests.consumers.runtime.helpers import (
    Quick,
    Sized,
    deliver,
    drained,
    empty,
    idle_consumer,
)
from tests.consumers.runtime.world import World, count
from tests.waiting import eventually_async


async def test_reading_pauses_while_the_next_stream_is_long(world: World) -> None:
    await world.record("job", units=100)
    for n in range(100):
        await world.add_unit("job", n)
    for _ in range(6):
        await world.redis.xadd(world.keys.jobs, {"x": "y"})
    async with world.worker("units", downstream=((world.keys.jobs, 5),)) as units:
        await eventually_async(lambda: units.metrics.paused._value.get() == 1)
        assert await world.redis.xlen(world.keys.units) == 100
        await world.redis.delete(world.keys.jobs)
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    await world.redis.delete(world.keys.ends)


async def test_at_most_as_many_entries_are_read_as_can_start(world: World) -> None:
    await world.record("job", units=40)
    for n in range(40):
        await world.add_unit("job", n, "sleep:0.02" if n else "sleep:0.5")
    async with world.worker("units", batch_size=2, concurrency=3, lease=5.0) as units:
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        most = 0

        async def done() -> bool:
            nonlocal most
            most = max(most, (await world.redis.xpending(world.keys.units, "units"))["pending"])
            return await empty(world.redis, world.keys.units)

        await eventually_async(done)
        assert 2 < most <= 6 + 6  # being handled, and those whose completion is on its way
        await eventually_async(lambda: count(units.metrics.processed) == 40)
    await world.redis.delete(world.keys.ends)


async def test_a_batch_waits_a_moment_to_fill(world: World) -> None:
    await world.record("job", units=8)
    stage = Sized("units", world.redis, world.keys)
    async with world.worker("units", stage=stage, linger=5.0, lease=30.0):
        for n in range(8):
            await world.add_unit("job", n)
            await asyncio.sleep(0)
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert stage.sizes == [8]
    await world.redis.delete(world.keys.ends)


async def test_a_stopped_worker_drains_releases_entries_and_leaves_the_group(world: World) -> None:
    await world.record("job", units=5)
    for n in range(5):
        await world.add_unit("job", n, "sleep:0.4" if n == 0 else "sleep:30")
    async with world.worker("units", "leaving", batch_size=1, concurrency=2, drain=1.0, lease=5.0):
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/1"))
    assert list(await world.outcomes("job")) == [0]
    pending = await world.pending(world.keys.units, "units")
    assert {entry["consumer"] for entry in pending} == {UNOWNED.encode()}
    assert {entry["times_delivered"] for entry in pending} == {0}  # an interrupted delivery does not count
    consumers = await world.redis.xinfo_consumers(world.keys.units, "units")
    assert [consumer["name"] for consumer in consumers] == [UNOWNED.encode()]
    async with world.worker("units", "next", stage=Quick("units", world.redis, world.keys)):
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    await world.redis.delete(world.keys.ends)


async def test_a_worker_ends_when_stopped_at_any_moment(world: World) -> None:
    for moment in range(0, 30, 3):
        async with asyncio.timeout(60), world.worker("units", drain=0.1):
            await asyncio.sleep(moment / 2000)


async def test_only_idle_consumers_without_work_are_reaped(world: World) -> None:
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    for name in ("idle", "busy"):
        await world.redis.xgroup_createconsumer(owner.stream, owner.group, name)
    await world.redis.xclaim(owner.stream, owner.group, "busy", 0, [entry], justid=True)
    await eventually_async(lambda: idle_consumer(world, owner, "idle", 50))
    await world.redis.xreadgroup(owner.group, "fresh", {owner.stream: ">"})
    await lua.run(world.redis, scripts.remove_idle(owner, 0.045))
    names = {c["name"] for c in await world.redis.xinfo_consumers(owner.stream, owner.group)}
    assert b"busy" in names and b"idle" not in names
    busy = Owner(owner.stream, owner.group, "busy")
    await lua.run(world.redis, scripts.complete(busy, entry, Completion()))


async def test_a_deleted_pending_entry_is_counted_and_acknowledged(world: World) -> None:
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    await world.redis.xdel(owner.stream, entry)
    await world.record("job", units=1)
    await world.add_unit("job", 0)
    async with world.worker("units", lease=0.2) as units:
        await eventually_async(lambda: count(units.metrics.deleted) == 1)
        await eventually_async(lambda: drained(world))
    assert len(await world.outcomes("job")) == 1
    await world.redis.delete(world.keys.ends)


async def test_one_sweeper_leads_until_it_stops(world: World) -> None:
    sweeps: list[str] = []

    def sweeper(name: str) -> Sweeper:
        async def sweep() -> None:
            sweeps.append(name)

        return Sweeper(world.redis, "{t}:duty", 0.5, sweep)  # another one leads after a pause of 1.5 s

    first, second = asyncio.Event(), asyncio.Event()
    leading = asyncio.create_task(sweeper("first").run(first))
    await eventually_async(lambda: bool(sweeps))
    following = asyncio.create_task(sweeper("second").run(second))
    await eventually_async(lambda: len(sweeps) > 2)
    assert set(sweeps) == {"first"}
    first.set()
    await leading
    await eventually_async(lambda: sweeps[-1] == "second")
    second.set()
    await following
