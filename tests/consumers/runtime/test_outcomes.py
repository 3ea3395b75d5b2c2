"""On every server: one outcome per unit, one final message per job, and fencing by ownership of the entry."""

import asyncio
import time
from dataclasses import replace

import pytest
import redis as sync_redis

from consumers.runtime import scripts
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Outgoing
from consumers.runtime.worker import UNOWNED
from schemas.store import lua
from tests.consumers.runtime.helpers import (
    Quick,
    deliver,
    drained,
    empty,
    idle,
)
from tests.consumers.runtime.world import World, count
from tests.waiting import eventually_async


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
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert count(units.metrics.duplicates) == 4
    assert list(await world.outcomes("job")) == [0, 1]
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_the_end_comes_whether_outcomes_or_number_of_units_come_last(world: World) -> None:
    await world.record("units last", units=1)
    await world.record("number last")
    await world.add_unit("units last", 0)
    await world.add_unit("number last", 0)
    async with world.worker("units"):
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert await world.redis.xlen(world.keys.ends) == 1
    owner, entry = await deliver(world, world.keys.jobs, {b"x": b"y"})
    known = scripts.complete(owner, entry, Completion(world.keys.fan_in("number last"), units=1))
    assert await lua.run(world.redis, known) == scripts.DONE
    assert await world.redis.xlen(world.keys.ends) == 2
    assert await lua.run(world.redis, scripts.check_fan_in(world.keys.fan_in("number last"))) == 0
    await world.redis.delete(world.keys.ends)


async def test_the_units_of_all_parts_add_up_and_each_part_counts_once(world: World) -> None:
    """Parts 1, 0, 0 again, 2 of a job with three units and a part without any."""
    await world.record("job")
    answers = []
    for n in (0, 1):
        await world.add_unit("job", n)
    async with world.worker("units"):
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    record, further = world.keys.record("job"), Outgoing(world.keys.jobs, {b"further": b"1"})
    for part, units in ((1, 2), (0, 0), (0, 5), (2, 1)):
        assert await world.redis.hget(record, "units") is None
        owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
        completion = Completion(world.keys.fan_in("job"), units=units, publish=(further,), part=part, parts=3)
        answers.append(await lua.run(world.redis, scripts.complete(owner, entry, completion)))
    assert answers == [scripts.DONE, scripts.DONE, scripts.DUPLICATE, scripts.DONE]
    assert await world.redis.hget(record, "units") == b"3"
    assert await world.redis.xlen(world.keys.jobs) == 3, "a repetition publishes nothing"
    assert await world.redis.xlen(world.keys.ends) == 0, "one unit has no outcome yet"
    await world.add_unit("job", 2)
    async with world.worker("units"):
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends, world.keys.jobs)


async def test_the_fan_in_check_can_be_run_by_a_sweeper(world: World) -> None:
    await world.record("job", units=1)
    await world.redis.hset(world.keys.outcomes("job"), "0", "done")
    await world.redis.expire(world.keys.outcomes("job"), 60)
    assert await lua.run(world.redis, scripts.check_fan_in(world.keys.fan_in("job"))) == 1
    assert await lua.run(world.redis, scripts.check_fan_in(world.keys.fan_in("job"))) == 0
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)


async def test_work_of_an_ended_job_is_dropped(world: World) -> None:
    await world.record("cancelled", units=2, ended="1")
    await world.add_unit("cancelled", 0)
    await world.add_unit("expired", 0)
    async with world.worker("units") as units:
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert count(units.metrics.dropped) == 2
    assert not await world.outcomes("cancelled")
    assert not await world.redis.exists(world.keys.outcomes("expired"), world.keys.record("expired"))
    assert await world.redis.xlen(world.keys.ends) == 0


async def test_work_of_an_earlier_run_is_dropped(world: World) -> None:
    await world.record("job", units=1, run="2-0")
    fan_in, further = world.keys.fan_in("job"), (Outgoing(world.keys.jobs, {b"a": b"b"}),)
    run, redis, record = lua.run, world.redis, world.keys.record("job")
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    early = replace(fan_in, run="1-0")
    assert (
        await run(redis, scripts.publish(owner, entry, further, record, "1-0", {"sent": 1}))
        == scripts.DROPPED
    )
    call = scripts.complete(owner, entry, Completion(early, "0", b"early", 1, further))
    assert await run(redis, call) == scripts.DROPPED
    await redis.hset(world.keys.outcomes("job"), "0", "of this run")
    assert await run(redis, scripts.check_fan_in(early)) == 0
    assert await redis.hgetall(record) == {b"created": b"1", b"units": b"1", b"run": b"2-0"}
    assert not await redis.exists(world.keys.jobs, world.keys.ends)
    assert await run(redis, scripts.check_fan_in(replace(fan_in, run="2-0"))) == 1
    await redis.delete(world.keys.ends, world.keys.outcomes("job"))


async def test_a_former_owner_changes_nothing(world: World) -> None:
    await world.record("job", units=1)
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    await world.redis.xclaim(owner.stream, owner.group, "other", 0, [entry])
    completion = Completion(
        world.keys.fan_in("job"), "0", b"late", 1, (Outgoing(world.keys.jobs, {b"a": b"b"}),)
    )
    run, redis = lua.run, world.redis
    assert await run(redis, scripts.complete(owner, entry, completion)) == scripts.LOST
    assert await run(redis, scripts.publish(owner, entry, completion.publish, None, "", {})) == 0
    assert await run(redis, scripts.retry(owner, "{t}:delayed", entry, 0, 0, b"")) == 0
    assert await run(redis, scripts.renew(owner, [entry])) == [entry.encode()]
    assert await run(redis, scripts.release(owner, UNOWNED, 60, [entry])) == 0
    (pending,) = await world.pending(owner.stream, owner.group)
    assert pending["consumer"] == b"other"
    assert not await redis.exists(world.keys.outcomes("job"), world.keys.jobs, world.keys.ends, "{t}:delayed")
    other = Owner(owner.stream, owner.group, "other")
    assert await run(redis, scripts.complete(other, entry, Completion())) == scripts.DONE


async def test_a_renewal_keeps_the_entry_and_does_not_count(world: World) -> None:
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    await eventually_async(lambda: idle(world, owner, 30))
    started = time.monotonic()
    assert await lua.run(world.redis, scripts.renew(owner, [entry])) == []
    (pending,) = await world.pending(owner.stream, owner.group)
    assert pending["times_delivered"] == 1
    assert pending["time_since_delivered"] <= 1000 * (time.monotonic() - started) + 1
    await lua.run(world.redis, scripts.complete(owner, entry, Completion()))


async def test_a_refused_completion_changes_nothing(world: World) -> None:
    await world.record("job", units=1)
    await world.redis.set(world.keys.jobs, "not a stream", ex=60)
    owner, entry = await deliver(world, world.keys.units, {b"x": b"y"})
    completion = Completion(
        world.keys.fan_in("job"), "0", b"x", None, (Outgoing(world.keys.jobs, {b"a": b"b"}),)
    )
    with pytest.raises(sync_redis.ResponseError, match="WRONGTYPE"):
        await lua.run(world.redis, scripts.complete(owner, entry, completion))
    assert not await world.outcomes("job")
    assert len(await world.pending(owner.stream, owner.group)) == 1
    await world.redis.delete(world.keys.jobs)
    assert await lua.run(world.redis, scripts.complete(owner, entry, completion)) == scripts.DONE
    await world.redis.delete(world.keys.jobs, world.keys.ends)


async def test_long_work_runs_once(world: World) -> None:
    await world.record("job", units=1)
    entry = await world.add_unit("job", 0, "sleep:3")
    async with world.worker("units", "c1", lease=1.0), world.worker("units", "c2", lease=1.0) as second:
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
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
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        async with world.worker("units", "other", lease=0.2, stage=Quick("units", world.redis, world.keys)):
            await eventually_async(lambda: empty(world.redis, world.keys.units))
            await eventually_async(lambda: count(stuck.metrics.leases_lost) == 1)
    assert await world.outcomes("job") == {0: b"job/0"}
    await world.redis.delete(world.keys.ends)


async def test_what_is_published_twice_as_json_is_one_unit(world: World) -> None:
    await world.record("job", units=1)
    body = b'{"id": "job/unit/0", "job": "job", "type": "unit", "unknown": 1, "body": {"n": 0, "kind": "flaky:2"}}'
    for _ in range(2):
        await world.redis.xadd(world.keys.units, {"json": body})
    async with world.worker("units"):
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
        await eventually_async(lambda: drained(world))
    assert await world.outcomes("job") == {0: b"job/0"}
    assert await world.redis.xlen(world.keys.ends) == 1
    await world.redis.delete(world.keys.ends)
