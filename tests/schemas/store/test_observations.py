"""What is kept of sources on a real server: bounded, erasable, and written by runs that go on alone."""

import pytest

from schemas.settings import Settings
from schemas.store.observations import Observations
from tests.schemas.store.records import BODY, SUMMARY, Records

SOURCES = ("one", "two", "three")


@pytest.fixture
def kept(records: Records) -> Observations:
    return Observations(records.redis, records.names, Settings(observations_bytes=3000, observations_ttl=100))


async def present(records: Records) -> list[str]:
    return [name for name in SOURCES if await records.redis.exists(records.names.observations(name))]


async def total(records: Records) -> int:
    return int(await records.redis.hget(records.names.observation_sizes, "total") or 0)


async def test_beyond_the_limit_the_source_that_was_used_longest_ago_is_forgotten(
    records: Records, kept: Observations
) -> None:
    for source in SOURCES[:2]:
        await kept.keep(source, f"job of {source}", {"a": bytes(600), "b": bytes(600)})
    assert await present(records) == ["one", "two"] and 2400 < await total(records) <= 3000
    await kept.keep("one", "another job", {})  # is used again
    await kept.keep("three", "job of three", {"a": bytes(1000)})
    assert await present(records) == ["one", "three"]
    assert await kept.source_of("job of two") == "" and await kept.source_of("another job") == "one"
    await kept.keep("three", "job of three", {"b": bytes(2900)})
    assert await kept.read("three", ["a", "b"]) == [bytes(1000), None], "does not grow beyond all limits"
    await kept.keep("one", "another job", {"a": bytes(300)})
    before = await total(records)
    await kept.keep("one", "another job", {"a": bytes(600)})
    assert await total(records) == before + 300
    for source in SOURCES:
        await kept.erase(f"job of {source}")
    assert await total(records) == 0 and not await records.redis.hlen(records.names.observed)
    assert await records.redis.keys("*observations:*") == [records.names.observation_sizes.encode()]


async def test_a_job_that_runs_again_on_another_content_leaves_nothing_of_the_first(
    records: Records, kept: Observations
) -> None:
    await kept.keep("one", "a", {"a": bytes(100)})
    await kept.keep("two", "a", {"a": bytes(100)})
    assert await present(records) == ["two"] and await kept.source_of("a") == "two"


async def test_observations_end_by_their_time_and_are_counted_off(
    records: Records, kept: Observations
) -> None:
    await kept.keep("one", "a", {"a": bytes(1000)})
    assert 0 < await records.redis.ttl(records.names.observations("one")) <= 100
    await records.redis.unlink(records.names.observations("one"))  # as if its time had come
    await records.redis.zadd(records.names.observation_ages, {"one": 1.0})
    await kept.keep("two", "b", {"a": bytes(500)})
    assert await kept.source_of("a") == "" and 500 < await total(records) < 700
    assert await records.redis.zcard(records.names.observation_ages) == 1


async def test_a_run_that_is_over_keeps_and_takes_nothing(records: Records, kept: Observations) -> None:
    await records.running("a", "b")
    run = await records.run_of("a")
    await kept.keep("one", "a", {"p": b"seen", "p/0": b"crop"}, run)
    frames = [(7, b"faces", "p", 1)]
    assert await kept.adopt("one", "a", run, frames, b"outcome") == [7]
    keys = records.names.job("a")
    assert await records.redis.hgetall(keys.faces) == {b"7": b"faces"}
    assert await records.redis.hgetall(keys.portraits) == {b"7/0": b"crop"}
    assert await records.redis.hgetall(keys.outcomes) == {b"7": b"outcome"}
    assert await kept.adopt("one", "b", await records.run_of("b"), [(7, b"faces", "p", 2)]) == [], (
        "a crop is missing"
    )
    await records.jobs.fail("a", "broken")
    await kept.keep("two", "a", {"p": b"late"}, run)
    assert await kept.adopt("one", "a", run, frames) == []
    assert await present(records) == ["one"] and not await records.redis.exists(keys.faces)


async def test_deleting_any_job_of_a_source_erases_what_was_seen_of_it(records: Records) -> None:
    kept = Observations(records.redis, records.names, Settings())
    for job in ("a", "b", "c"):
        await records.running(job)
        await kept.keep("one", job, {"p": b"seen"}, await records.run_of(job))
        assert await records.jobs.complete(job, BODY, SUMMARY, keep=60)
    assert await kept.source_of("c") == "one"
    assert await records.jobs.delete("b")
    assert await present(records) == [] and await kept.source_of("a") == ""
    await records.running("d")
    await kept.keep("one", "d", {"p": b"seen"}, await records.run_of("d"))
    assert not await records.jobs.delete("d"), "it is running"
    assert await present(records) == ["one"]
    await records.redis.unlink(records.names.job("d").metadata)  # as if it had expired
    await records.jobs.forget_observations("d")
    assert await present(records) == []


async def test_a_source_is_copied_to_another_server_once(records: Records, kept: Observations) -> None:
    names = type(records.names)("other")  # stands for another server
    other = Observations(records.redis, names, Settings())
    await kept.keep("one", "a", {f"p{number}": bytes(9) for number in range(20)})
    await kept.copy("one", other)
    assert await other.source_of("a") == "one"
    fields = await records.redis.hgetall(names.observations("one"))
    assert fields == await records.redis.hgetall(records.names.observations("one")) and len(fields) == 20
    await records.redis.hset(names.observations("one"), "p0", "not written again")
    await kept.copy("one", other)
    assert await records.redis.hget(names.observations("one"), "p0") == b"not written again"
    await kept.copy("absent", other)
    assert await records.redis.keys("*absent*") == []
