"""On every server: lost groups, flushed scripts, full memory, lost connections, a failover."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import retry_policy
from consumers.runtime.connection import ServerError, ServerUnreachable, check_server, ensure_group
from consumers.runtime.stage import Completion, Delivery
from schemas.envelope import MSGPACK
from schemas.store.connection import connect, memory
from schemas.store.fair_queue import waiting
from schemas.store.server_errors import error_text, group_missing, is_unavailable
from tests.consumers.runtime.chain import Units
from tests.consumers.runtime.helpers import (
    calls_refused,
    drained,
    empty,
    long_script,
    refused,
    refused_calls,
)
from tests.consumers.runtime.servers import Cluster, Server, binary
from tests.consumers.runtime.world import World, count
from tests.waiting import eventually_async

PICTURE = b"\xff\xd8 a picture"
Trouble = Callable[[Redis], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def full_memory(redis: Redis) -> AsyncIterator[None]:
    await redis.config_set("maxmemory", "1")
    try:
        while not await refused(redis):
            await asyncio.sleep(0.01)
        yield
    finally:
        await redis.config_set("maxmemory", "0")


@contextlib.asynccontextmanager
async def failed_save(redis: Redis) -> AsyncIterator[None]:
    """As on a full disk: the snapshot cannot be written, since there is a directory of its name."""
    obstacle = Path((await redis.config_get("dir"))["dir"]) / "dump.rdb"
    obstacle.unlink(missing_ok=True)
    obstacle.mkdir()
    try:
        await redis.config_set("save", "3600 1")
        while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            with contextlib.suppress(ResponseError):  # a save is under way
                await redis.execute_command("BGSAVE")
            await asyncio.sleep(0.01)
        yield
    finally:
        await redis.config_set("save", "")
        obstacle.rmdir()


TROUBLES = [full_memory, failed_save, long_script]


class Unlucky(Units):
    """A stage that meets a server in trouble in its first four runs, inside a pipeline as well as alone."""

    def __init__(self, world: World, administrator: Redis, trouble: Trouble) -> None:
        super().__init__("units", world.redis, world.keys)
        self.max_attempts = 2
        self.attempts: list[int] = []
        self.lucky = asyncio.Event()
        self._administrator = administrator
        self._trouble = trouble

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        self.attempts.append(batch[0].attempt)
        if len(self.attempts) > 4:
            self.lucky.set()
            return await super().handle(batch)
        async with self._trouble(self._administrator):
            if len(self.attempts) % 2:
                await self.redis.set("{t}:picture", PICTURE, ex=60)
            async with self.redis.pipeline(transaction=False) as pipe:
                pipe.set("{t}:picture", PICTURE, ex=60)
                await pipe.execute()
        raise AssertionError("the server was not in trouble")


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


async def test_a_cluster_may_have_a_single_primary(tmp_path: Path) -> None:
    cluster = Cluster(binary("cluster", tmp_path), tmp_path, nodes=1)
    cluster.start()
    try:
        async with connect(cluster.url) as redis:
            assert (await memory(redis))["used_memory"] > 0
            assert (await check_server(redis)).startswith("valkey")
    finally:
        cluster.stop()


async def test_a_server_that_has_answered_once_is_waited_for_at_the_start(tmp_path: Path) -> None:
    """A busy machine opens the connections of many workers, to every node of a cluster, late."""
    server = Server(binary("valkey", tmp_path), tmp_path)
    async with connect(server.url) as redis:
        with pytest.raises(ServerUnreachable):
            await check_server(redis)
        starting = asyncio.create_task(check_server(redis, known=True))
        await asyncio.wait([starting], timeout=0.2)
        assert not starting.done()
        await asyncio.to_thread(server.start)
        try:
            assert (await starting).startswith("valkey")
        finally:
            server.stop()


@pytest.mark.one_node
async def test_a_server_with_an_evicting_policy_is_refused(world: World) -> None:
    await world.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerError, match="maxmemory-policy is allkeys-lru"):
            await check_server(world.redis)
    finally:
        await world.redis.config_set("maxmemory-policy", "noeviction")
    assert (await check_server(world.redis)).split()[0] in ("redis", "valkey")


async def test_a_key_that_is_no_stream_is_named(world: World) -> None:
    await world.redis.set(world.keys.units, "of another program")
    with pytest.raises(
        ServerError, match=f"the key {world.keys.units} on the server holds no stream; .*delete it"
    ):
        async with world.worker("units") as worker:
            await eventually_async(worker.task.done)
    await world.redis.delete(world.keys.units)


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


async def test_what_waits_for_its_turn_is_read_although_scripts_are_flushed(world: World) -> None:
    queue, number = waiting(world.keys.units), 60
    await world.record("job", units=number)
    await ensure_group(world.redis, world.keys.units, "units")
    async with world.worker("units", fair=True, batch_size=4) as worker:
        for n in range(number):
            message = world.keys.unit("job", n, "ok").fields[MSGPACK]
            await world.redis.zadd(queue, {b"caller " + message: n})
            if n % 20 == 0:
                await eventually_async(lambda: drained(world))
                await world.redis.script_flush()
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await eventually_async(lambda: drained(world))
        assert not worker.task.done()
    assert len(await world.outcomes("job")) == number and not await world.redis.exists(queue)
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
            await world.redis.config_set("maxmemory", "1")
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


@pytest.mark.one_node
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_server_in_trouble_uses_up_no_attempt(
    world: World, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "UNAVAILABLE_RETRY_SECONDS", 0.02)
    async with connect(world.url) as administrator:
        stage = Unlucky(world, administrator, trouble)
        await world.record("job", units=1)
        async with world.worker("units", stage=stage, lease=30.0):
            await world.add_unit("job", 0)
            await asyncio.wait_for(stage.lucky.wait(), 30)
            await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    assert stage.attempts == [1, 1, 1, 1, 1]
    assert await world.outcomes("job") == {0: b"job/0"}
    assert await world.dead() == 0
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_a_worker_starts_although_a_script_keeps_the_server_busy(world: World) -> None:
    async with connect(world.url) as administrator:
        async with long_script(administrator):
            starting = asyncio.create_task(check_server(world.redis))
            await asyncio.wait([starting], timeout=0.2)
            assert not starting.done()
        assert (await starting).split()[0] in ("redis", "valkey")


@pytest.mark.one_node
async def test_leases_that_expired_in_an_outage_are_renewed_before_others_claim_them(world: World) -> None:
    """Otherwise each outage would count as a crash of a worker that lives."""
    await world.record("job", units=1)
    async with (
        connect(world.url) as administrator,
        world.worker("units", "owner", lease=0.8),
        world.worker("units", "other", lease=0.8) as other,
    ):
        await world.add_unit("job", 0, "sleep:6")
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        async with long_script(administrator):
            await asyncio.sleep(2.0)  # more than two leases
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        assert await world.runs("job", 0) == 1
        assert count(other.metrics.recovered) == 0
    await world.redis.delete(world.keys.ends)


@pytest.mark.parametrize(
    "code", ["OOM", "MISCONF", "BUSY", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS"]
)
@pytest.mark.parametrize(
    "text",
    [
        "{} the reason",
        "ERR Error running script (call to f_1): @user_script:12: -{} the reason",
        "Command # 1 (SET a \\xff: ) of pipeline caused error: ('{} the reason',)",
        'Command # 1 (SET a \\xff: ) of pipeline caused error: ("{} it\'s the reason",)',
        "Command # 1 (SET a \\xff: ) of pipeline caused error: {} the reason",
    ],
)
def test_trouble_is_recognized_inside_scripts_and_pipelines(code: str, text: str) -> None:
    error = ResponseError(text.format(code))
    assert is_unavailable(error)
    assert "\\xff" not in error_text(error) and "the reason" in error_text(error)


def test_what_a_request_contains_is_no_trouble() -> None:
    error = ResponseError("Command # 1 (SET a : OOM) of pipeline caused error: ('WRONGTYPE not a string',)")
    assert not is_unavailable(error) and not group_missing(error)
