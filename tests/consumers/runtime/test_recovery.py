"""Workers that crash or are paused, messages that crash workers, a server that crashes."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import ensure_group
from consumers.runtime.scripts import Owner
from schemas.store import dead_letters, lua
from schemas.store.connection import connect
from tests.consumers.runtime.chain import Units
from tests.consumers.runtime.servers import Server, binary
from tests.consumers.runtime.world import World, count
from tests.waiting import eventually_async


async def test_a_killed_worker_loses_nothing(world: World) -> None:
    await world.record("job", units=12)
    for n in range(12):
        await world.add_unit("job", n, "sleep:0.2")
    doomed = world.spawn("units", "doomed")
    await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/7"))
    os.kill(doomed.pid, signal.SIGKILL)
    async with world.worker("units", "heir") as heir:
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        assert count(heir.metrics.recovered) == 8
    assert len(await world.outcomes("job")) == 12
    assert [await world.runs("job", n) for n in range(12)] == [2] * 8 + [1] * 4
    await world.redis.delete(world.keys.ends)


async def test_a_killed_split_continues_where_it_stopped(lone_world: World) -> None:
    world = lone_world
    await world.submit("job", *["ok"] * 400)
    doomed = world.spawn("jobs", "doomed")
    await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "sent"))
    os.kill(doomed.pid, signal.SIGKILL)
    async with world.worker("jobs", "heir"), world.worker("units"), world.worker("ends"):
        await world.ended("job")
        await eventually_async(lambda: _empty(world, world.keys.units))
    assert len(await world.outcomes("job")) == 400


async def test_a_paused_worker_loses_its_lease(world: World) -> None:
    await world.record("job", units=1)
    await world.add_unit("job", 0, "sleep:0.3")
    paused = world.spawn("units", "paused")
    await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
    os.kill(paused.pid, signal.SIGSTOP)
    async with world.worker("units", "other"):
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        os.kill(paused.pid, signal.SIGCONT)
        await world.record("next", units=1)
        await world.add_unit("next", 0)
        await eventually_async(lambda: world.redis.hexists(world.keys.record("next"), "finalized"))
    os.kill(paused.pid, signal.SIGTERM)
    await asyncio.to_thread(paused.join, 10)
    assert paused.exitcode == 0
    assert await world.outcomes("job") == {0: b"job/0"}
    assert await world.redis.xlen(world.keys.ends) == 2
    await world.redis.delete(world.keys.ends)


async def test_two_workers_with_one_name_lose_nothing(lone_world: World) -> None:
    """A name must be unique; where it is not, a pause or the end of one worker must not harm the other."""
    world = lone_world
    await world.record("job", units=30)
    paused, ended = world.spawn("units", "same"), world.spawn("units", "same")
    async with world.worker("units", "same"):
        for n in range(30):
            await world.add_unit("job", n, "sleep:0.02")
        await eventually_async(lambda: world.redis.hexists(world.keys.outcomes("job"), "5"))
        os.kill(paused.pid, signal.SIGSTOP)
        os.kill(ended.pid, signal.SIGTERM)
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        os.kill(paused.pid, signal.SIGCONT)
    os.kill(paused.pid, signal.SIGTERM)
    for child in (paused, ended):
        await asyncio.to_thread(child.join, 20)
        assert child.exitcode == 0
    assert len(await world.outcomes("job")) == 30
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_a_message_that_crashes_workers_harms_no_other(world: World) -> None:
    """The rest of its batch, and the messages that wait while it crashes workers, are all completed."""
    await world.record("job", units=16)
    for n in range(16):
        await world.add_unit("job", n, "abort" if n == 3 else "ok")
    keeper = asyncio.create_task(_keep_alive(world, 2))
    await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    keeper.cancel()
    outcomes = await world.outcomes("job")
    assert outcomes == {n: b"dead" if n == 3 else f"job/{n}".encode() for n in range(16)}
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    assert dead.unit == "3"
    assert dead.attempts == Units.max_attempts + 1
    assert "its worker crashed" in dead.reason
    assert await world.runs("job", 3) == Units.max_attempts
    await world.redis.set(world.keys.fixed, 1, ex=60)
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
    async with world.worker("units", "after the fix"):
        await eventually_async(lambda: world.redis.hexists(world.keys.outcomes("job"), "3"))
        await eventually_async(lambda: _empty(world, world.keys.units))
    assert (await world.outcomes("job"))[3] == b"job/3"
    await world.redis.delete(world.keys.ends)


async def test_suspects_run_one_after_the_other_without_waiting_for_a_lease(world: World) -> None:
    await world.record("job", units=12)
    for n in range(12):
        await world.add_unit("job", n)
    await ensure_group(world.redis, world.keys.units, "units")
    for _ in range(2):  # twice delivered to workers that died
        await world.redis.xreadgroup("units", "dead", {world.keys.units: ">"})
        entries = [e["message_id"] for e in await world.pending(world.keys.units, "units")]
        await world.redis.xclaim(world.keys.units, "units", "dead", 0, entries, idle=10**7, retrycount=2)
    async with world.worker("units", lease=30.0) as units:
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        assert count(units.metrics.recovered) == 12
        assert units.metrics.batch._sum.get() == 12
    await world.redis.delete(world.keys.ends)


async def test_very_long_work_runs_once(lone_world: World) -> None:
    world = lone_world
    await world.record("job", units=1)
    await world.add_unit("job", 0, "sleep:6")
    world.spawn("units", "rival", lease=1.0)
    async with world.worker("units", "worker", lease=1.0):
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        counts = set()
        while pending := await world.pending(world.keys.units, "units"):
            counts.add(pending[0]["times_delivered"])
            await asyncio.sleep(0.1)
    assert counts == {1}
    assert await world.runs("job", 0) == 1
    await world.redis.delete(world.keys.ends)


async def test_a_dead_consumer_is_removed_once_its_work_is_done(world: World) -> None:
    await world.record("job", units=1)
    await world.add_unit("job", 0, "sleep:0.1")
    doomed = world.spawn("units", "doomed", lease=0.2)
    await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
    os.kill(doomed.pid, signal.SIGKILL)
    async with world.worker("units", "heir", lease=0.2):

        async def removed() -> bool:
            consumers = await world.redis.xinfo_consumers(world.keys.units, "units")
            return {consumer["name"] for consumer in consumers} == {b"heir"}

        await eventually_async(removed)
    assert len(await world.outcomes("job")) == 1
    await world.redis.delete(world.keys.ends)


@pytest.fixture
def persistent_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(binary("valkey", tmp_path), tmp_path / "server", append_only=True)
    server.start()
    yield server
    server.stop()


async def test_a_server_that_crashes_and_comes_back_has_lost_nothing(persistent_server: Server) -> None:
    async with connect(persistent_server.url) as redis:
        world = World(persistent_server.url, redis, "{t}")
        await world.submit("job", *["sleep:0.01"] * 150)
        async with (
            world.worker("jobs", lease=2.0),
            world.worker("units", lease=2.0),
            world.worker("ends", lease=2.0),
        ):
            for done in (20, 80):
                await eventually_async(lambda done=done: _at_least(world, "job", done))
                await asyncio.to_thread(persistent_server.kill)
                await asyncio.to_thread(persistent_server.start)
            await world.ended("job")
        assert len(await world.outcomes("job")) == 150
        await world.assert_nothing_left()


async def test_recovery_reads_pending_entries_only(lone_world: World) -> None:
    """The length of the stream behind them makes no difference."""
    world = lone_world
    await world.record("job", units=8)
    for n in range(8):
        await world.add_unit("job", n, "sleep:0.05")
    doomed = world.spawn("units", "doomed")
    await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
    os.kill(doomed.pid, signal.SIGKILL)
    async with world.redis.pipeline(transaction=False) as pipe:
        for n in range(20_000):
            message = world.keys.unit("other", n, "ok")
            pipe.xadd(message.stream, dict(message.fields))
        await pipe.execute()
    await world.redis.config_resetstat()
    async with world.worker("units", "heir", max_run=30.0, batch_size=8):
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        stats = await world.redis.info("commandstats")
        left = await world.redis.xlen(world.keys.units)
        await eventually_async(lambda: _empty(world, world.keys.units), 60)
    assert stats["cmdstat_xclaim"]["calls"] < 200
    assert left > 0
    await world.redis.delete(world.keys.ends)


async def _keep_alive(world: World, count: int) -> None:
    """Restarts workers that crash, as a supervisor does."""
    children = [world.spawn("units", f"w{i}", lease=0.4) for i in range(count)]
    number = count
    while True:
        for i, child in enumerate(children):
            if not child.is_alive():
                children[i] = world.spawn("units", f"w{number}", lease=0.4)
                number += 1
        await asyncio.sleep(0.02)


async def _empty(world: World, stream: str) -> bool:
    return not await world.redis.xlen(stream)


async def _at_least(world: World, job: str, done: int) -> bool:
    try:
        return int(await world.redis.hlen(world.keys.outcomes(job))) >= done
    except OSError:
        return False


async def test_workers_share_one_search_while_many_entries_are_pending(world: World) -> None:
    """A search of each worker would hold the server for as long as a million entries take, once for each worker."""
    redis, stream, scan = world.redis, world.keys.units, f"{world.keys.units}:scan"
    await ensure_group(redis, stream, "units")
    for _ in range(450):
        await redis.xadd(stream, {"json": "{}"})
    ((_, entries),) = cast("Any", await redis.xreadgroup("units", "dead", {stream: ">"}, count=450))
    ids, calls = [entry for entry, _ in entries], 0

    async def search(limit: int = 100) -> list[bytes]:
        """Goes on until the pass is over, each call by another worker."""
        nonlocal calls
        cursor, found = b"", list[bytes]()
        while cursor != b"-":
            calls += 1
            owner = Owner(stream, "units", f"heir-{calls}")
            call = scripts.claim_expired(
                owner, scan, 600.0, b"-", limit, suspect_deliveries=9, max_suspects=0, max_scanned=200
            )
            cursor, claimed, *_ = await lua.run(redis, call)
            found += [entry for entry, *_ in claimed]
        return found

    assert await search() == [] and calls == 3
    expired = ids[190:230]
    await redis.xclaim(stream, "units", "dead", 0, expired, idle=700_000, justid=True)
    assert await search() == [] and calls == 4, "the next pass begins a third of the lease after the last"
    await redis.delete(scan)
    assert await search(limit=15) == expired, "all, none twice, in their order"
    await redis.delete(stream, scan)
    with pytest.raises(ResponseError, match="NOGROUP"):  # after a flush, the reader creates the group
        await search()
