"""On every server: lost groups, flushed scripts, full memory, lost connections, a failover."""

import asyncio

import pytest

from consumers.runtime.connection import ServerError, check_server
from tests.consumers.runtime.helpers import (
    calls_refused,
    drained,
    empty,
    refused,
    refused_calls,
)
from tests.consumers.runtime.world import World, count
from tests.waiting import eventually_async


async def test_a_flushed_server_gets_its_group_back(world: World) -> None:
    async with world.worker("units", lease=0.4) as units:
        await world.record("before", units=1)
        await world.add_unit("before", 0)
        await eventually_async(lambda: world.redis.hexists(world.keys.record("before"), "finalized"))
        await world.redis.flushall()
        await world.record("after", units=1)
        await world.add_unit("after", 0)
        await eventually_async(lambda: world.redis.hexists(world.keys.record("after"), "finalized"))
        assert count(units.metrics.groups_created) >= 1
        await world.redis.xgroup_destroy(world.keys.units, "units")
        await world.record("again", units=1)
        await world.add_unit("again", 0)
        await eventually_async(lambda: world.redis.hexists(world.keys.record("again"), "finalized"))
    await world.redis.delete(world.keys.ends)


async def test_a_group_lost_under_running_work_costs_no_outcome(world: World) -> None:
    await world.record("job", units=3)
    async with world.worker("units", lease=0.4):
        for n in range(3):
            await world.add_unit("job", n, "sleep:0.3")
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        await world.redis.xgroup_destroy(world.keys.units, "units")
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert len(await world.outcomes("job")) == 3
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_a_server_with_an_evicting_policy_is_refused(world: World) -> None:
    await world.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerError, match="maxmemory-policy is allkeys-lru"):
            await check_server(world.redis)
    finally:
        await world.redis.config_set("maxmemory-policy", "noeviction")
    assert (await check_server(world.redis)).split()[0] in ("redis", "valkey")


async def test_flushed_scripts_are_loaded_again(world: World) -> None:
    await world.record("job", units=200)
    async with world.worker("units", batch_size=5):
        for n in range(200):
            await world.add_unit("job", n)
            if n % 40 == 0:
                await world.redis.script_flush()
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await eventually_async(lambda: drained(world))
    assert len(await world.outcomes("job")) == 200
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_cut_connections_lose_nothing(world: World) -> None:
    await world.submit("job", *["sleep:0.001"] * 300)
    async with (
        world.worker("jobs", lease=1.0),
        world.worker("units", lease=1.0),
        world.worker("ends", lease=1.0),
    ):
        cuts = 0
        while not await world.redis.hexists(world.keys.record("job"), "ended"):
            await world.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            cuts += 1
            await asyncio.sleep(0.05)
            assert cuts < 300
    assert cuts > 1
    assert len(await world.outcomes("job")) == 300


@pytest.mark.one_node
async def test_work_continues_after_full_memory(world: World) -> None:
    await world.record("job", units=20)
    for n in range(20):
        await world.add_unit("job", n, "sleep:0.05")
    try:
        async with world.worker("units", lease=2.0, batch_size=1):
            await eventually_async(lambda: world.redis.hexists(world.keys.outcomes("job"), "0"))
            await world.redis.config_set("maxmemory", "1mb")
            await eventually_async(lambda: refused(world.redis))
            await world.redis.config_set("maxmemory", "0")
            await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    finally:
        await world.redis.config_set("maxmemory", "0")
    assert len(await world.outcomes("job")) == 20
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_work_continues_after_a_read_only_server(world: World) -> None:
    """As in a failover, before the clients know the new primary."""
    await world.record("job", units=20)
    for n in range(20):
        await world.add_unit("job", n, "sleep:0.05")
    async with world.worker("units", lease=2.0, batch_size=1):
        await eventually_async(lambda: world.redis.hexists(world.keys.outcomes("job"), "0"))
        refused_before = await refused_calls(world.redis)
        await world.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        done = len(await world.outcomes("job"))
        await eventually_async(lambda: calls_refused(world.redis, refused_before + 3))
        assert len(await world.outcomes("job")) == done < 20
        await world.redis.execute_command("REPLICAOF", "NO", "ONE")
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    assert len(await world.outcomes("job")) == 20
    await world.redis.delete(world.keys.ends)
