"""On every server: classes of errors, contents of dead letters, replays."""

import time
from typing import Any, cast

import pytest

from schemas.store import dead_letters
from tests.consumers.runtime.chain import Unit, Units
from tests.consumers.runtime.helpers import Quick, at_least, empty
from tests.consumers.runtime.world import World
from tests.waiting import eventually_async


async def test_each_class_of_error_has_its_effect(world: World) -> None:
    await world.submit("job", "ok", "fail", "flaky:3", "reject", "wait", "ok")
    async with world.worker("jobs"), world.worker("ends"), world.worker("units"):
        await eventually_async(lambda: at_least(world.dead(), 2))
        await eventually_async(lambda: at_least(world.runs("job", 4), Units.max_attempts + 1))
        await world.redis.set(world.keys.fixed, 1, ex=60)
        await world.ended("job")
    done = {n: f"job/{n}".encode() for n in (0, 2, 4, 5)}
    assert await world.outcomes("job") == dict(sorted((done | {1: b"dead", 3: b"dead"}).items()))
    assert await world.runs("job", 0) == 1
    assert await world.runs("job", 1) == Units.max_attempts
    assert await world.runs("job", 2) == 3
    assert await world.runs("job", 3) == 1
    assert await world.runs("job", 4) > Units.max_attempts  # NotReady does not count


async def test_a_dead_letter_has_every_field_and_can_be_replayed(world: World) -> None:
    await world.record("job", units=2)
    await world.add_unit("job", 0)
    await world.add_unit("job", 1, "fail")
    began = time.time()
    async with world.worker("units"):
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    assert dead == await dead_letters.show(world.redis, world.keys.dead, dead.id)
    assert (dead.stage, dead.stream, dead.job, dead.type) == ("units", world.keys.units, "job", "unit")
    assert (dead.reason, dead.error, dead.text) == (
        "always fails",
        "ValueError",
        "always fails",
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
        await eventually_async(lambda: world.redis.hexists(world.keys.record("job"), "finalized"))
    assert await world.outcomes("job") == {0: b"job/0", 1: b"job/1"}
    assert await world.dead() == 0
    await world.redis.delete(world.keys.ends)


async def test_replays_are_counted_and_attempts_start_over(world: World) -> None:
    await world.record("job", units=1)
    await world.add_unit("job", 0, "fail")
    async with world.worker("units"):
        for replays in range(3):
            await eventually_async(lambda: at_least(world.dead(), 1))
            (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
            assert (dead.replays, dead.attempts) == (replays, 4)
            assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
        await eventually_async(lambda: at_least(world.dead(), 1))
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
async def test_undecodable_bytes_do_not_stop_the_worker(world: World, fields: dict[bytes, bytes]) -> None:
    await world.record("job", units=2)
    await world.add_unit("job", 0)
    await world.redis.xadd(world.keys.units, cast("Any", fields))
    await world.add_unit("job", 1)
    async with world.worker("units"):
        await eventually_async(lambda: empty(world.redis, world.keys.units))
    assert len(await world.outcomes("job")) == 2
    (dead,) = await dead_letters.listed(world.redis, world.keys.dead)
    assert dead.error == "EnvelopeError"
    kept = dict(dead.headers) | ({dead.body_field.encode(): dead.body} if dead.body_field else {})
    assert kept == fields
    assert await dead_letters.replay(world.redis, world.keys.dead, dead) == "sent"
    ((_, replayed),) = await world.redis.xrange(world.keys.units)
    assert replayed == fields | {b"replays": b"1"}
    await world.redis.delete(world.keys.units, world.keys.ends)
