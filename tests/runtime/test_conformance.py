"""What must hold on every server: outcomes, fences, leases, retries, dead letters, back-pressure, drain."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from consumers.runtime import dead_letters, scripts
from consumers.runtime.connection import ServerError, check_server, ensure_group
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.runtime.sweeper import Sweeper
from consumers.runtime.worker import NOBODY
from tests.runtime.chain import Keys, Unit, Units
from tests.runtime.world import World, count


async def test_every_unit_has_its_outcome_and_the_end_comes_once(world: World) -> None:
    jobs = {f"job{i}": ["ok"] * (7 * i) for i in range(1, 6)}
    async with world.worker("jobs"), world.worker("units"), world.worker("ends") as ends:
        for job, kinds in jobs.items():
            await world.submit(job, *kinds)
        await world.ended(*jobs)
    for job, kinds in jobs.items():
        assert await world.outcomes(job) == {n: f"{job}/{n}".encode() for n in range(len(kinds))}
        assert await world.redis.hget(world.keys.record(job), "finalized") == b"1"
    assert count(ends.metrics.processed) == len(jobs)


async def test_a_duplicate_has_no_second_effect(world: World) -> None:
    await world.record("job", units=2)
    for n in (0, 0, 1, 1, 1, 0):
        await world.add_unit("job", n)
    async with world.worker("units") as units:
        await world.until(lambda: _empty(world.redis, world.keys.units))
        assert count(units.metrics.duplicates) == 4
    assert list(await world.outcomes("job")) == [0, 1]
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_the_end_comes_whichever_is_known_last(world: World) -> None:
    await world.record("units last", units=1)
    await world.record("number last")
    await world.add_unit("units last", 0)
    await world.add_unit("number last", 0)
    async with world.worker("units"):
        await world.until(lambda: _empty(world.redis, world.keys.units))
    assert await world.redis.xlen(world.keys.ends) == 1
    owner, entry = await _taken(world, world.keys.jobs, {b"x": b"y"})
    known = scripts.complete(owner, entry, Completion(world.keys.fan_in("number last"), units=1))
    assert await scripts.run(world.redis, known) == scripts.DONE
    assert await world.redis.xlen(world.keys.ends) == 2
    assert await scripts.run(world.redis, scripts.close(world.keys.fan_in("number last"))) == 0
    await world.redis.delete(world.keys.ends)


async def test_the_tail_can_be_run_by_a_sweeper(world: World) -> None:
    await world.record("job", units=1)
    await world.redis.hset(world.keys.outcomes("job"), "0", "done by a hand that could not finish")
    await world.redis.expire(world.keys.outcomes("job"), 60)
    assert await scripts.run(world.redis, scripts.close(world.keys.fan_in("job"))) == 1
    assert await scripts.run(world.redis, scripts.close(world.keys.fan_in("job"))) == 0
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_work_of_an_ended_job_is_dropped(world: World) -> None:
    await world.record("cancelled", units=2, ended="1")
    await world.add_unit("cancelled", 0)
    await world.add_unit("forgotten", 0)
    async with world.worker("units") as units:
        await world.until(lambda: _empty(world.redis, world.keys.units))
        assert count(units.metrics.dropped) == 2
    assert not await world.outcomes("cancelled")
    assert not await world.redis.exists(world.keys.outcomes("forgotten"), world.keys.record("forgotten"))
    assert await world.redis.xlen(world.keys.ends) == 0


async def test_a_former_owner_can_do_nothing(world: World) -> None:
    await world.record("job", units=1)
    owner, entry = await _taken(world, world.keys.units, {b"x": b"y"})
    await world.redis.xclaim(owner.stream, owner.group, "other", 0, [entry])
    completion = Completion(
        world.keys.fan_in("job"), "0", b"late", 1, (Outgoing(world.keys.jobs, {b"a": b"b"}),)
    )
    run, redis = scripts.run, world.redis
    assert await run(redis, scripts.complete(owner, entry, completion)) == scripts.LOST
    assert await run(redis, scripts.publish(owner, entry, completion.publish, None, {})) == 0
    assert await run(redis, scripts.retry(owner, "{t}:delayed", entry, 0, 0, b"")) == 0
    assert await run(redis, scripts.renew(owner, [entry])) == [entry.encode()]
    assert await run(redis, scripts.hand_back(owner, NOBODY, 60, [entry])) == 0
    (pending,) = await world.pending(owner.stream, owner.group)
    assert pending["consumer"] == b"other"
    assert not await redis.exists(world.keys.outcomes("job"), world.keys.jobs, world.keys.ends, "{t}:delayed")
    other = Owner(owner.stream, owner.group, "other")
    assert await run(redis, scripts.complete(other, entry, Completion())) == scripts.DONE


async def test_a_renewal_keeps_the_entry_and_does_not_count(world: World) -> None:
    owner, entry = await _taken(world, world.keys.units, {b"x": b"y"})
    await world.until(lambda: _idle(world, owner, 30))
    assert await scripts.run(world.redis, scripts.renew(owner, [entry])) == []
    (pending,) = await world.pending(owner.stream, owner.group)
    assert pending["times_delivered"] == 1
    assert pending["time_since_delivered"] < 30
    await scripts.run(world.redis, scripts.complete(owner, entry, Completion()))


async def test_a_refused_completion_changes_nothing(world: World) -> None:
    await world.record("job", units=1)
    await world.redis.set(world.keys.jobs, "not a stream", ex=60)
    owner, entry = await _taken(world, world.keys.units, {b"x": b"y"})
    completion = Completion(
        world.keys.fan_in("job"), "0", b"x", None, (Outgoing(world.keys.jobs, {b"a": b"b"}),)
    )
    with pytest.raises(sync_redis.ResponseError, match="WRONGTYPE"):
        await scripts.run(world.redis, scripts.complete(owner, entry, completion))
    assert not await world.outcomes("job")
    assert len(await world.pending(owner.stream, owner.group)) == 1
    await world.redis.delete(world.keys.jobs)
    assert await scripts.run(world.redis, scripts.complete(owner, entry, completion)) == scripts.DONE
    await world.redis.delete(world.keys.jobs, world.keys.ends)


async def test_long_work_runs_once(world: World) -> None:
    await world.record("job", units=1)
    entry = await world.add_unit("job", 0, "sleep:2")
    async with world.worker("units", "c1", lease=0.4), world.worker("units", "c2", lease=0.4) as second:
        await world.until(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        seen = []
        while pending := await world.pending(world.keys.units, "units"):
            seen.append((pending[0]["message_id"], pending[0]["times_delivered"]))
            await asyncio.sleep(0.05)
        assert set(seen) == {(entry.encode(), 1)}
        assert count(second.metrics.recovered) == 0
    assert await world.runs("job", 0) == 1
    await world.redis.delete(world.keys.ends)


async def test_a_stuck_handler_loses_its_work(world: World) -> None:
    await world.record("job", units=1)
    await world.add_unit("job", 0, "sleep:30")
    async with world.worker("units", "stuck", lease=0.4, max_run=0.2, drain=0.1) as stuck:
        await world.until(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        async with world.worker("units", "other", lease=0.2, stage=Quick("units", world.redis, world.keys)):
            await world.until(lambda: _empty(world.redis, world.keys.units))
            await world.until(lambda: _true(count(stuck.metrics.leases_lost) == 1))
    assert await world.outcomes("job") == {0: b"job/0"}
    await world.redis.delete(world.keys.ends)


async def test_errors_are_told_apart(world: World) -> None:
    await world.submit("job", "ok", "fail", "flaky:3", "reject", "wait", "ok")
    async with world.worker("jobs"), world.worker("ends"), world.worker("units"):
        await world.until(lambda: _at_least(world.dead(), 2))
        await world.until(lambda: _at_least(world.runs("job", 4), Units.max_attempts + 1))
        await world.redis.set(world.keys.fixed, 1, ex=60)
        await world.ended("job")
    done = {n: f"job/{n}".encode() for n in (0, 2, 4, 5)}
    assert await world.outcomes("job") == dict(sorted((done | {1: b"dead", 3: b"dead"}).items()))
    assert await world.runs("job", 0) == 1
    assert await world.runs("job", 1) == Units.max_attempts
    assert await world.runs("job", 2) == 3
    assert await world.runs("job", 3) == 1
    assert await world.runs("job", 4) > Units.max_attempts  # waiting is not failing


async def test_a_dead_letter_tells_all_and_can_be_replayed(world: World) -> None:
    await world.record("job", units=2)
    await world.add_unit("job", 0)
    await world.add_unit("job", 1, "fail")
    began = time.time()
    async with world.worker("units"):
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    assert dead == await dead_letters.show(world.redis, world.keys.dead, dead.id)
    assert (dead.stage, dead.stream, dead.job, dead.type) == ("units", world.keys.units, "job", "unit")
    assert (dead.reason, dead.error, dead.text) == (
        "this one always fails",
        "ValueError",
        "this one always fails",
    )
    assert "ValueError" in dead.trace
    assert (dead.attempts, dead.deliveries, dead.replays, dead.worker, dead.unit) == (4, 1, 0, "c1", "1")
    assert began - 1 < dead.first < dead.last < time.time() + 1
    assert Units("units", world.redis, world.keys).decode("0-1", {b"msgpack": dead.body}).body == Unit(
        1, "fail"
    )
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "missing"
    assert list(await world.outcomes("job")) == [0]
    async with world.worker("units", stage=Quick("units", world.redis, world.keys)):
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    assert await world.outcomes("job") == {0: b"job/0", 1: b"job/1"}
    assert await world.dead() == 0
    await world.redis.delete(world.keys.ends)


async def test_replays_are_counted_and_attempts_start_over(world: World) -> None:
    await world.record("job", units=1)
    await world.add_unit("job", 0, "fail")
    async with world.worker("units"):
        for replays in range(3):
            await world.until(lambda: _at_least(world.dead(), 1))
            (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
            assert (dead.replays, dead.attempts) == (replays, 4)
            assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
        await world.until(lambda: _at_least(world.dead(), 1))
    assert await world.runs("job", 0) == 4 * Units.max_attempts
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    await world.redis.hset(world.keys.record("job"), "ended", "1")
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "ended"
    assert await dead_letters.listed(world.redis, world.keys.dead, reason="something else") == []
    assert await dead_letters.drop(world.redis, world.keys.dead, [dead.id]) == 1
    await world.redis.delete(world.keys.ends)


@pytest.mark.parametrize(
    "fields",
    [
        {b"neither": b"this"},
        {b"msgpack": b"\xc1 not msgpack", b"more": b"\xff"},
        {b"json": b"{"},
        {b"json": b'{"id": "a", "job": "b", "type": "unknown", "body": {}}'},
        {b"json": b'{"id": "a", "job": "b", "type": "unit", "version": 2, "body": {"n": 1, "kind": "ok"}}'},
    ],
)
async def test_bytes_that_cannot_be_read_stop_nothing(world: World, fields: dict[bytes, bytes]) -> None:
    await world.record("job", units=2)
    await world.add_unit("job", 0)
    await world.redis.xadd(world.keys.units, cast("Any", fields))
    await world.add_unit("job", 1)
    async with world.worker("units"):
        await world.until(lambda: _empty(world.redis, world.keys.units))
    assert len(await world.outcomes("job")) == 2
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    assert dead.error == "EnvelopeError"
    kept = dict(dead.headers) | ({dead.body_field.encode(): dead.body} if dead.body_field else {})
    assert kept == fields
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
    ((_, again),) = await world.redis.xrange(world.keys.units)
    assert again == fields | {b"replays": b"1"}
    await world.redis.delete(world.keys.units, world.keys.ends)


async def test_what_is_published_twice_as_json_is_one_unit(world: World) -> None:
    await world.record("job", units=1)
    body = b'{"id": "job/unit/0", "job": "job", "type": "unit", "unknown": 1, "body": {"n": 0, "kind": "flaky:2"}}'
    for _ in range(2):
        await world.redis.xadd(world.keys.units, {"json": body})
    async with world.worker("units"):
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await world.until(lambda: _quiet(world))
    assert await world.outcomes("job") == {0: b"job/0"}
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_reading_pauses_while_the_next_stream_is_long(world: World) -> None:
    await world.record("job", units=100)
    for n in range(100):
        await world.add_unit("job", n)
    for _ in range(6):
        await world.redis.xadd(world.keys.jobs, {"x": "y"})
    async with world.worker("units", downstream=((world.keys.jobs, 5),)) as units:
        await world.until(lambda: _true(units.metrics.paused._value.get() == 1))
        assert await world.redis.xlen(world.keys.units) == 100
        await world.redis.delete(world.keys.jobs)
        await world.until(lambda: _empty(world.redis, world.keys.units))
    await world.redis.delete(world.keys.ends)


async def test_never_more_is_read_than_can_start(world: World) -> None:
    await world.record("job", units=40)
    for n in range(40):
        await world.add_unit("job", n, "sleep:0.02" if n else "sleep:0.5")
    async with world.worker("units", batch_size=2, concurrency=3, lease=5.0) as units:
        await world.until(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        most = 0

        async def done() -> bool:
            nonlocal most
            most = max(most, (await world.redis.xpending(world.keys.units, "units"))["pending"])
            return await _empty(world.redis, world.keys.units)

        await world.until(done)
        assert 2 < most <= 6 + 6  # being handled, and those whose completion is on its way
        await world.until(lambda: _true(count(units.metrics.processed) == 40))
    await world.redis.delete(world.keys.ends)


async def test_a_batch_waits_a_moment_to_fill(world: World) -> None:
    await world.record("job", units=8)
    stage = Sized("units", world.redis, world.keys)
    async with world.worker("units", stage=stage, linger=5.0, lease=30.0):
        for n in range(8):
            await world.add_unit("job", n)
            await asyncio.sleep(0)
        await world.until(lambda: _empty(world.redis, world.keys.units))
    assert stage.sizes == [8]
    await world.redis.delete(world.keys.ends)


async def test_a_flushed_server_gets_its_group_back(world: World) -> None:
    async with world.worker("units", lease=0.4) as units:
        await world.record("before", units=1)
        await world.add_unit("before", 0)
        await world.until(lambda: world.redis.hexists(world.keys.record("before"), "finalized"))
        await world.redis.flushall()
        await world.record("after", units=1)
        await world.add_unit("after", 0)
        await world.until(lambda: world.redis.hexists(world.keys.record("after"), "finalized"))
        assert count(units.metrics.groups_created) >= 1
        await world.redis.xgroup_destroy(world.keys.units, "units")
        await world.record("again", units=1)
        await world.add_unit("again", 0)
        await world.until(lambda: world.redis.hexists(world.keys.record("again"), "finalized"))
    await world.redis.delete(world.keys.ends)


async def test_a_group_lost_under_running_work_costs_no_outcome(world: World) -> None:
    await world.record("job", units=3)
    async with world.worker("units", lease=0.4):
        for n in range(3):
            await world.add_unit("job", n, "sleep:0.3")
        await world.until(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        await world.redis.xgroup_destroy(world.keys.units, "units")
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await world.until(lambda: _empty(world.redis, world.keys.units))
    assert len(await world.outcomes("job")) == 3
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_a_stopped_worker_finishes_hands_back_and_leaves_nobody(world: World) -> None:
    await world.record("job", units=5)
    for n in range(5):
        await world.add_unit("job", n, "sleep:0.4" if n == 0 else "sleep:30")
    async with world.worker("units", "leaving", batch_size=1, concurrency=2, drain=1.0, lease=5.0):
        await world.until(lambda: world.redis.hexists(world.keys.runs, "job/1"))
    assert list(await world.outcomes("job")) == [0]
    pending = await world.pending(world.keys.units, "units")
    assert {entry["consumer"] for entry in pending} == {NOBODY.encode()}
    assert {entry["times_delivered"] for entry in pending} == {0}  # an interrupted delivery is no attempt
    consumers = await world.redis.xinfo_consumers(world.keys.units, "units")
    assert [consumer["name"] for consumer in consumers] == [NOBODY.encode()]
    async with world.worker("units", "next", stage=Quick("units", world.redis, world.keys)):
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    await world.redis.delete(world.keys.ends)


async def test_a_worker_that_is_stopped_at_any_moment_ends(world: World) -> None:
    for moment in range(0, 30, 3):
        async with asyncio.timeout(10), world.worker("units", drain=0.1):
            await asyncio.sleep(moment / 2000)


async def test_only_idle_consumers_without_work_are_reaped(world: World) -> None:
    owner, entry = await _taken(world, world.keys.units, {b"x": b"y"})
    for name in ("idle", "busy"):
        await world.redis.xgroup_createconsumer(owner.stream, owner.group, name)
    await world.redis.xclaim(owner.stream, owner.group, "busy", 0, [entry], justid=True)
    await world.until(lambda: _idle_consumer(world, owner, "idle", 50))
    await world.redis.xreadgroup(owner.group, "fresh", {owner.stream: ">"})
    await scripts.run(world.redis, scripts.reap(owner, 0.045))
    names = {c["name"] for c in await world.redis.xinfo_consumers(owner.stream, owner.group)}
    assert b"busy" in names and b"idle" not in names
    busy = Owner(owner.stream, owner.group, "busy")
    await scripts.run(world.redis, scripts.complete(busy, entry, Completion()))


async def test_an_entry_that_somebody_deleted_is_told_and_forgotten(world: World) -> None:
    owner, entry = await _taken(world, world.keys.units, {b"x": b"y"})
    await world.redis.xdel(owner.stream, entry)
    await world.record("job", units=1)
    await world.add_unit("job", 0)
    async with world.worker("units", lease=0.2) as units:
        await world.until(lambda: _true(count(units.metrics.gone) == 1))
        await world.until(lambda: _quiet(world))
    assert len(await world.outcomes("job")) == 1
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_a_server_that_evicts_is_refused(world: World) -> None:
    await world.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerError, match="maxmemory-policy is allkeys-lru"):
            await check_server(world.redis)
    finally:
        await world.redis.config_set("maxmemory-policy", "noeviction")
    assert (await check_server(world.redis)).split()[0] in ("redis", "valkey")


async def test_forgotten_scripts_are_learnt_again(world: World) -> None:
    await world.record("job", units=200)
    async with world.worker("units", batch_size=5):
        for n in range(200):
            await world.add_unit("job", n)
            if n % 40 == 0:
                await world.redis.script_flush()
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await world.until(lambda: _quiet(world))
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
async def test_a_full_memory_is_waited_out(world: World) -> None:
    await world.record("job", units=20)
    for n in range(20):
        await world.add_unit("job", n, "sleep:0.05")
    try:
        async with world.worker("units", lease=2.0, batch_size=1):
            await world.until(lambda: world.redis.hexists(world.keys.outcomes("job"), "0"))
            await world.redis.config_set("maxmemory", "1mb")
            await world.until(lambda: _refused(world.redis))
            await world.redis.config_set("maxmemory", "0")
            await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    finally:
        await world.redis.config_set("maxmemory", "0")
    assert len(await world.outcomes("job")) == 20
    await world.redis.delete(world.keys.ends)


@pytest.mark.one_node
async def test_a_read_only_server_is_waited_out(world: World) -> None:
    """As in a failover, before the clients are told of the new primary."""
    await world.record("job", units=20)
    for n in range(20):
        await world.add_unit("job", n, "sleep:0.05")
    async with world.worker("units", lease=2.0, batch_size=1):
        await world.until(lambda: world.redis.hexists(world.keys.outcomes("job"), "0"))
        await world.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        done = len(await world.outcomes("job"))
        await asyncio.sleep(0.3)  # long enough that completions meet the replica
        assert len(await world.outcomes("job")) == done < 20
        await world.redis.execute_command("REPLICAOF", "NO", "ONE")
        await world.until(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    assert len(await world.outcomes("job")) == 20
    await world.redis.delete(world.keys.ends)


async def test_one_sweeper_leads_and_another_follows(world: World) -> None:
    sweeps: list[str] = []

    def sweeper(name: str) -> Sweeper:
        async def sweep() -> None:
            sweeps.append(name)

        return Sweeper(world.redis, "{t}:duty", 0.05, sweep)

    first, second = asyncio.Event(), asyncio.Event()
    leading = asyncio.create_task(sweeper("first").run(first))
    await world.until(lambda: _true(bool(sweeps)))
    following = asyncio.create_task(sweeper("second").run(second))
    await world.until(lambda: _true(len(sweeps) > 5))
    assert set(sweeps) == {"first"}
    first.set()
    await leading
    await world.until(lambda: _true(sweeps[-1] == "second"))
    second.set()
    await following


class Quick(Units):
    """As after a fix: nothing sleeps or fails."""

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
    def __init__(self, name: str, redis: Redis, keys: Keys) -> None:
        super().__init__(name, redis, keys)
        self.sizes: list[int] = []

    async def handle(self, batch: Sequence[Delivery[Unit]]) -> Sequence[Completion | Exception]:
        self.sizes.append(len(batch))
        return await super().handle(batch)


async def _taken(world: World, stream: str, fields: dict[bytes, bytes]) -> tuple[Owner, str]:
    """An entry that a consumer has read."""
    owner = Owner(stream, "units", "taker")
    await ensure_group(world.redis, stream, owner.group)
    entry = cast("bytes", await world.redis.xadd(stream, cast("Any", fields)))
    await world.redis.xreadgroup(owner.group, owner.consumer, {stream: ">"})
    return owner, entry.decode()


async def _empty(redis: Redis, stream: str) -> bool:
    return not await redis.xlen(stream)


async def _quiet(world: World) -> bool:
    return (
        not await world.redis.xlen(world.keys.units)
        and not await world.pending(world.keys.units, "units")
        and (not await world.redis.exists(f"{world.keys.units}:delayed"))
    )


async def _idle(world: World, owner: Owner, at_least: int) -> bool:
    return all(e["time_since_delivered"] > at_least for e in await world.pending(owner.stream, owner.group))


async def _idle_consumer(world: World, owner: Owner, name: str, at_least: int) -> bool:
    told = await world.redis.xinfo_consumers(owner.stream, owner.group)
    return any(c["name"] == name.encode() and c["idle"] > at_least for c in told)


async def _refused(redis: Redis) -> bool:
    try:
        await redis.set("{t}:probe", "x", ex=1)
    except sync_redis.OutOfMemoryError:
        return True
    return False


async def _true(value: bool) -> bool:
    return value


async def _at_least(value: Awaitable[int], least: int) -> bool:
    return await value >= least
