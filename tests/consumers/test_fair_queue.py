"""Callers take turns where more waits than the workers take."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Outgoing
from schemas.envelope import MSGPACK
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, RequestError, to_request
from schemas.settings import Settings, SettingsError
from schemas.store import lua
from schemas.store.fair_queue import Share, length, room, share_of, turns, waiting
from schemas.store.jobs import Jobs
from schemas.store.submissions import PUBLISHED_AT_LIMIT, QueueFull

STREAM, SOURCE, GROUP = "faces-service:frames", "faces-service:source", "frames"
WEIGHTS = Settings.from_env({"FACES_SHARES": "heavy=3, requests/light=0.5"}).weights
REQUEST = AnalyzeRequest(video_path="/v.mp4")


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as client:
        await client.flushall()
        for stream in (STREAM, SOURCE):
            await client.xgroup_create(stream, GROUP, "0", mkstream=True)
        yield client


async def publish(redis: Redis, messages: Sequence[tuple[str, int]], credit: int = 1) -> None:
    """Publishes messages, each of a caller and with a number, as a worker that completes one of its own."""
    owner = Owner(SOURCE, GROUP, "w")
    outgoing = [
        Outgoing(STREAM, {MSGPACK: b"%s %d" % (caller.encode(), n)}, share_of(WEIGHTS, caller, credit))
        for caller, n in messages
    ]
    entry = cast("bytes", await redis.xadd(SOURCE, {"a": "b"}))
    await redis.xreadgroup(GROUP, "w", {SOURCE: ">"})
    call = scripts.complete(owner, entry.decode(), Completion(publish=tuple(outgoing)))
    assert await lua.run(redis, call) == scripts.DONE


async def read(redis: Redis, count: int) -> list[str]:
    """Reads and acknowledges as a worker with so many free slots does; returns the callers of the messages."""
    await lua.run(redis, scripts.release_waiting(STREAM, count))
    reply: Any = await redis.xreadgroup(GROUP, "w", {STREAM: ">"}, count=count)
    entries: list[tuple[bytes, Mapping[bytes, bytes]]] = reply[0][1] if reply else []
    for entry, _ in entries:
        await redis.xack(STREAM, GROUP, entry)
        await redis.xdel(STREAM, entry)
    return [fields[MSGPACK].split()[0].decode() for _, fields in entries]


async def test_a_caller_with_little_work_does_not_wait_behind_one_with_much(redis: Redis) -> None:
    await publish(redis, [("busy", n) for n in range(1000)])
    assert await length(redis, STREAM) == 1000
    assert await read(redis, 8) == ["busy"] * 8
    await publish(redis, [("quiet", n) for n in range(2)])
    assert (await read(redis, 4)).count("quiet") == 2


async def test_who_came_a_moment_before_is_not_ahead_by_its_credit(redis: Redis) -> None:
    """The first message of another caller comes before one has been released from the fair queue."""
    await publish(redis, [("busy", n) for n in range(1000)], credit=32)
    await publish(redis, [("quiet", n) for n in range(30)], credit=32)
    assert (await read(redis, 31)).count("quiet") == 30


async def test_callers_take_turns_by_their_weights(redis: Redis) -> None:
    callers = ("heavy", "plain", "requests/light")
    await publish(redis, [(caller, n) for caller in callers for n in range(400)])
    found = Counter[str]()
    for _ in range(45):
        found.update(await read(redis, 10))
    assert [round(found[caller] / 100) for caller in callers] == [3, 1, 0]
    assert found["plain"] / found["requests/light"] == pytest.approx(2, rel=0.1)


async def test_within_a_caller_the_first_comes_first_and_nothing_is_left_at_the_end(redis: Redis) -> None:
    await publish(redis, [("a", n) for n in range(20)])
    bytes_ = [m.partition(b" ")[2] for m in await redis.zrange(waiting(STREAM), 0, -1)]
    assert bytes_ == [b"a %d" % n for n in range(1, 20)]
    while await read(redis, 7):
        pass
    assert await redis.exists(waiting(STREAM), turns(STREAM)) == 0 == await length(redis, STREAM)


async def test_credit_is_no_way_to_a_larger_share(redis: Redis) -> None:
    """A caller that comes back again and again is ahead by its credit once, not each time."""
    await publish(redis, [("busy", n) for n in range(2000)], credit=8)
    found, sent = Counter[str](), 0
    for _ in range(200):
        await publish(redis, [("sly", sent), ("sly", sent + 1)], credit=8)
        sent += 2
        found.update(await read(redis, 4))
    assert 0.45 < found["sly"] / found.total() < 0.55


async def test_a_million_names_take_no_more_memory_than_ten_thousand(redis: Redis) -> None:
    await publish(redis, [("busy", n) for n in range(3)])
    await redis.zadd(turns(STREAM), {":now": 0.0} | {f"caller-{n}": n + 1.0 for n in range(9_990)})
    await publish(redis, [(f"another-{n}", 0) for n in range(100)])
    assert await redis.zcard(turns(STREAM)) == 10_000
    assert await redis.zscore(turns(STREAM), ":now") == 0.0


async def test_the_frames_of_one_caller_leave_room_for_those_of_others(redis: Redis) -> None:
    names = Partitions().home
    await publish(redis, [("busy", n) for n in range(250)], credit=32)
    await redis.hset(names.job("job").metadata, mapping={"run": "r", "sampled:0": 5, "sampled:1": 4})
    await redis.hset(names.job("job").outcomes, "0", "x")
    keys, counters = names.job("job"), ("sampled:0", "sampled:1")
    for caller, waits in (("busy", 249), ("other", 0)):
        found = await room(redis, keys, SOURCE, [STREAM], Share(caller, 1.0, 32), counters)
        assert found == ("r", 8, 250, waits, False)
    await publish(redis, [("busy", n) for n in range(250, 252)])
    contended = [
        (await room(redis, keys, STREAM, [STREAM], Share(caller, 1.0), counters)).contended
        for caller in ("busy", "other")
    ]
    assert contended == [False, True]


async def test_the_queue_of_one_caller_is_full_and_another_may_submit(redis: Redis) -> None:
    settings = Settings.from_env({"FACES_MAX_QUEUED_JOBS": "5"})
    jobs = Jobs(redis, Partitions(), settings)
    busy, other = (msgspec.structs.replace(REQUEST, tenant=tenant) for tenant in ("busy", "other"))
    accepted = Partitions().home.accepted
    await jobs.submit(other, "running")
    await redis.xgroup_create(accepted, "frames", "0")
    await redis.xreadgroup("frames", "worker", {accepted: ">"})
    for number in range(5):
        await jobs.submit(busy, f"busy-{number}")
    with pytest.raises(QueueFull):
        await jobs.submit(busy, "busy-5")
    await jobs.submit(other, "other")
    for number in range(
        5 * PUBLISHED_AT_LIMIT
    ):  # published already: not refused, nor counted against another
        await jobs.accept(busy, f"published-{number}", None)
    await jobs.submit(msgspec.structs.replace(REQUEST, tenant="second"), "second")
    for number in range(50):
        await jobs.accept(busy, f"more-{number}", None)
    with pytest.raises(QueueFull):
        await jobs.submit(msgspec.structs.replace(REQUEST, tenant="third"), "third")


async def test_what_a_service_publishes_takes_nothing_from_the_share_of_a_key(redis: Redis) -> None:
    jobs = Jobs(redis, Partitions(), Settings())
    stream = Partitions().home.accepted
    for number in range(3):
        await jobs.accept(msgspec.structs.replace(REQUEST, tenant="ann"), f"published-{number}", None)
    await jobs.submit(msgspec.structs.replace(REQUEST, tenant="ann"), "own")
    callers = await redis.zrange(turns(stream), 0, -1)
    assert {b"ann", b"requests/ann"} <= set(callers)


@pytest.mark.parametrize("tenant", ["", "a/b", "requests/a", "a b", "a:b", "x" * 65, ":now", "a\n"])
def test_a_tenant_is_an_identifier(tenant: str) -> None:
    with pytest.raises(RequestError, match="tenant"):
        to_request({"video_path": "/v.mp4", "tenant": tenant})


@pytest.mark.parametrize("shares", ["a", "a=0", "a=-1", "a=nan", "a=101", "a b=1", "x/a=1", "=2", "a=1e9"])
def test_shares_that_cannot_be_are_refused(shares: str) -> None:
    with pytest.raises(SettingsError, match="FACES_SHARES"):
        Settings.from_env({"FACES_SHARES": shares})
