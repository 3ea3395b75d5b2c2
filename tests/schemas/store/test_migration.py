"""Data of an earlier version, which had all keys under one prefix, are moved to their present names."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from consumers.runtime.scripts import release_waiting
from schemas.names import Partitions
from schemas.store import dead_letters, lua, workers
from schemas.store.api_keys import ApiKeys
from schemas.store.migration import MOVE, migrate
from schemas.store.workers import WorkerInfo
from tests.schemas.store.records import BODY, REQUEST, SUMMARY, Records
from tests.vision_api import VisionApi

PARTITIONS = Partitions()
NAMES = PARTITIONS.home
STAYING = {NAMES.requests, NAMES.cache("k")}
"""Keys with the same name in both versions."""


@pytest.fixture
async def filled(records: Records) -> AsyncIterator[Records]:
    """A server with some of everything that an earlier version stored, under the present names."""
    redis, jobs = records.redis, records.jobs
    await records.running("ended", "leads", "follows")
    await jobs.complete("ended", BODY, SUMMARY, keep=60)
    assert not await jobs.join("leads", "k", 60) and await jobs.join("follows", "k", 60)
    await records.keeps("leads")
    await jobs.submit(REQUEST, "waits")
    await jobs.submit(REQUEST, "gone")
    await jobs.cancel("gone")
    await jobs.delete("gone")
    await lua.run(redis, release_waiting(NAMES.accepted, 2))  # it had no fair queue
    await redis.xgroup_create(NAMES.accepted, "frames", "0")
    await redis.xreadgroup("frames", "old-worker", {NAMES.accepted: ">"}, count=1)
    await redis.zadd(NAMES.delayed(NAMES.requests), {"0:retried": 1})
    await redis.xadd(NAMES.requests, {"json": "{}"})
    await redis.hset(NAMES.collection("cast").people, "person", "Ada")
    await redis.sadd(NAMES.collection_names, "cast")
    await redis.set(NAMES.idempotency("digest"), "x", ex=60)
    await ApiKeys(redis, NAMES).create("player", ("read",))
    yield records
    await redis.flushall()


async def _as_earlier(redis: Redis) -> dict[bytes, tuple[bytes, bool]]:
    """Renames everything to the names of the earlier version; returns what the keys held, by present name."""
    kept = {NAMES.shared_events, *STAYING}
    own = [key for key in await redis.keys() if key.startswith(b"faces-service:")]
    copies = [key for key in await redis.keys("faces:*") if key.decode() not in kept]
    await redis.delete(*copies, NAMES.events)
    held = {key: await _held(redis, key) for key in await redis.keys() if key.decode() != NAMES.shared_events}
    for key in set(own) - {NAMES.events.encode()}:
        await redis.rename(key, key.replace(b"faces-service:", b"faces:", 1))
    return held


async def _held(redis: Redis, key: bytes) -> tuple[Any, bool]:
    return await redis.dump(key), await redis.ttl(key) > 0


async def _present(redis: Redis) -> dict[bytes, tuple[bytes, bool]]:
    """What the keys hold, without those that the earlier version did not have."""
    copies = (b":metadata", b":result", b":results")
    keys = [
        key for key in await redis.keys()
        if not (key.startswith(b"faces:job:") and key.endswith(copies)) and key != b"faces:events"
    ]  # fmt: skip
    return {key: await _held(redis, key) for key in keys}


def _by_id(jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {job["job_id"]: job for job in jobs}


async def test_everything_is_moved_as_it_is_and_other_programs_see_the_jobs(
    filled: Records, valkey: str
) -> None:
    shown = _by_id(VisionApi(valkey).jobs(results=True))
    held = await _as_earlier(filled.redis)
    theirs = {"metadata": '{"status": "completed"}', "alias": "x", "results": "x"}
    foreign = {f"faces:job:theirs:{name}": text for name, text in theirs.items()}
    await filled.redis.mset(foreign)
    await migrate(filled.redis, PARTITIONS)
    assert await filled.redis.mget(list(foreign)) == [text.encode() for text in foreign.values()]
    await filled.redis.delete(*foreign)
    assert await _present(filled.redis) == held
    assert _by_id(VisionApi(valkey).jobs(results=True)) == shown
    await migrate(filled.redis, PARTITIONS)
    assert await _present(filled.redis) == held, "again"
    assert (await filled.redis.xpending(NAMES.accepted, "frames"))["pending"] == 1
    assert await filled.jobs.complete("leads", BODY, SUMMARY, keep=60)
    assert await filled.status("follows") == "completed"


@pytest.mark.parametrize("seed", range(5))
async def test_a_move_that_was_interrupted_goes_on(filled: Records, seed: int) -> None:
    """Whatever has been moved already; the streams are moved last."""
    held = await _as_earlier(filled.redis)
    moved = sorted({key.decode().removeprefix("faces-service:") for key in held} - STAYING - {"accepted"})
    some = random.Random(seed).sample(moved, seed * len(moved) // 4)
    keys = [key for name in some for key in (NAMES.stream(name), f"faces:{name}")]
    await lua.run(filled.redis, lua.Call(MOVE, keys, []))
    await asyncio.gather(*(migrate(filled.redis, PARTITIONS) for _ in range(3)))
    assert await _present(filled.redis) == held


async def test_workers_of_the_earlier_version_are_waited_for(filled: Records) -> None:
    await workers.announce(filled.redis, NAMES, WorkerInfo(stage="frames", consumer="old"))
    await _as_earlier(filled.redis)
    moving = asyncio.create_task(migrate(filled.redis, PARTITIONS))
    for _ in range(50):
        await filled.redis.ping()
    assert not moving.done() and await filled.redis.exists("faces:accepted", "faces:jobs") == 2
    await filled.redis.delete("faces:workers")
    await moving
    assert not await filled.redis.exists("faces:accepted", "faces:jobs")


async def test_streams_that_new_workers_have_begun_give_way(filled: Records) -> None:
    held = await _as_earlier(filled.redis)
    for stream in (NAMES.accepted, NAMES.frames):
        await filled.redis.xgroup_create(stream, "frames", "0", mkstream=True)
    await filled.redis.xgroup_create("faces:frames", "analyze", "0", mkstream=True)
    await migrate(filled.redis, PARTITIONS)
    await filled.redis.delete(NAMES.frames)
    assert await _present(filled.redis) == held


async def test_a_key_whose_name_is_in_use_stays_and_is_reported(
    filled: Records, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _as_earlier(filled.redis)
    await ApiKeys(filled.redis, NAMES).create("new", ("read",))
    monkeypatch.setenv("REDIS_URL", valkey)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "compose.cli", "migrate", stdout=PIPE, stderr=STDOUT
    )
    printed, _ = await process.communicate()
    assert [key.name for key in await ApiKeys(filled.redis, NAMES).all()] == ["new"]
    assert await filled.redis.hkeys("faces:keys") == [b"player"]
    assert b"faces:keys" in printed


async def test_a_dead_letter_of_the_earlier_version_is_replayed(records: Records) -> None:
    await records.running("a")
    run, keys = await records.run_of("a"), NAMES.job("a")
    letter = {
        "stage": "analyze", "stream": "faces:frames", "job": "a", "type": "frame", "reason": "r", "error": "",
        "text": "", "trace": "", "attempts": 1, "deliveries": 1, "first": 1.0, "worker": "w", "replays": 0,
        "traceparent": "", "run": run, "body": b"x", "body_field": "msgpack", "message": b"",
        "headers": msgspec.msgpack.encode({}), "record": "faces:job:a:metadata",
        "outcomes": "faces:job:a:outcomes", "unit": "0",
    }  # fmt: skip
    await records.redis.xadd(NAMES.dead, letter)
    (found,) = await dead_letters.listed(records.redis, NAMES.dead)
    assert await dead_letters.replay(records.redis, NAMES.dead, found, records.jobs) == "sent"
    assert await records.redis.xlen(NAMES.frames) == 1 and not await records.redis.exists(keys.outcomes)
    await records.redis.delete(NAMES.frames, NAMES.dead)
