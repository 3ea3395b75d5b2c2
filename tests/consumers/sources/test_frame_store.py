"""Frames wait in the server for a limited time, or in files on a shared volume."""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Outgoing
from consumers.sources.frame_store import FrameStore
from schemas.messages import FileFrame, StoredFrame
from schemas.names import Names
from schemas.store import lua

NAMES = Names("frame-store-test")
RUN = "1-0"


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as client:
        for job in ("job-1", "job-2"):
            await client.hset(NAMES.job(job).metadata, mapping={"created": "1", "run": RUN})
        yield client
        leftovers = [key async for key in client.scan_iter("frame-store-test*")]
        if leftovers:
            await client.delete(*leftovers)


async def pictures(
    store: FrameStore, frames: Sequence[tuple[str, StoredFrame | FileFrame]]
) -> list[bytes | None]:
    async with store._redis.pipeline(transaction=False) as pipe:
        pipe.ping()
        found, others = await store.get_many(frames, pipe)
    assert others == [True]
    return found


async def stored_keys(redis: Redis) -> list[str]:
    keys = [key.decode() async for key in redis.scan_iter("frame-store-test*")]
    return [key for key in keys if not key.endswith(":metadata")]


async def test_frames_come_back_in_order_until_they_are_deleted(redis: Redis) -> None:
    store = FrameStore(redis, NAMES, ttl=100)
    first = await store.put("job-1", RUN, "0", b"picture 0")
    second = await store.put("job-2", RUN, "0", b"picture 0 of another job")
    assert isinstance(first, StoredFrame)
    asked = [("job-2", second), ("job-1", StoredFrame("1")), ("job-1", first)]
    assert await pictures(store, asked) == [b"picture 0 of another job", None, b"picture 0"]
    await store.delete(asked)
    assert await pictures(store, asked) == [None, None, None]
    assert await stored_keys(redis) == []


async def test_frames_nobody_deletes_are_dropped_in_time(redis: Redis) -> None:
    await FrameStore(redis, NAMES, ttl=100).put("job-1", RUN, "7", b"picture")
    assert await stored_keys(redis) == [NAMES.job("job-1").frames]
    assert 0 < await redis.ttl(NAMES.job("job-1").frames) <= 100


async def test_another_attempt_does_not_replace_a_frame(redis: Redis, tmp_path: Path) -> None:
    for store in (FrameStore(redis, NAMES, ttl=100), FrameStore(redis, NAMES, ttl=100, directory=tmp_path)):
        first, second = [await store.put("job-1", RUN, "0", picture) for picture in (b"one", b"two")]
        assert await pictures(store, [("job-1", first), ("job-1", second)]) == [b"one", b"two"]
        await store.delete([("job-1", first), ("job-1", second)])


async def test_no_frame_is_stored_of_a_run_that_is_over(redis: Redis) -> None:
    store, record = FrameStore(redis, NAMES, ttl=100), NAMES.job("job-1").metadata
    assert await pictures(store, [("job-1", await store.put("job-1", "2-0", "0", b"of another run"))]) == [
        None
    ]
    await redis.hset(record, "ended", "1")
    assert await pictures(store, [("job-1", await store.put("job-1", RUN, "0", b"late"))]) == [None]
    await redis.delete(record)
    assert await pictures(store, [("job-1", await store.put("job-1", RUN, "0", b"later"))]) == [None]
    assert await stored_keys(redis) == []


async def test_frames_are_stored_with_their_messages_or_not_at_all(redis: Redis) -> None:
    store, record = FrameStore(redis, NAMES, ttl=100), NAMES.job("job-1").metadata
    source, group = NAMES.accepted, "frames"
    await redis.xgroup_create(source, group, "0", mkstream=True)
    entry = (await redis.xadd(source, {"a": "b"})).decode()
    await redis.xreadgroup(group, "owner", {source: ">"})
    (frame,), hashes = await store.prepare("job-1", RUN, [("0", b"picture")])
    message = Outgoing(NAMES.frames, {b"msgpack": b"frame 0"})
    for consumer, run, outcome in (
        ("another", RUN, scripts.LOST), ("owner", "2-0", scripts.DROPPED), ("owner", RUN, scripts.DONE)
    ):  # fmt: skip
        assert await pictures(store, [("job-1", frame)]) == [None]
        owner = Owner(source, group, consumer)
        call = scripts.publish(owner, entry, [message], record, run, {"sampled": 1}, hashes)
        assert await lua.run(redis, call) == outcome
    assert await pictures(store, [("job-1", frame)]) == [b"picture"]
    assert await redis.xlen(NAMES.frames) == 1 == int(await redis.hget(record, "sampled") or 0)


async def test_files_are_read_below_the_frame_roots_only(redis: Redis, tmp_path: Path) -> None:
    volume, secret = tmp_path.resolve() / "frames", tmp_path / "secret.jpg"
    volume.mkdir()
    (volume / "0.jpg").write_bytes(b"picture")
    secret.write_bytes(b"secret")
    (volume / "link.jpg").symlink_to(secret)
    store = FrameStore(redis, NAMES, ttl=100, frame_roots=[volume])
    stored = await store.put("job-1", RUN, "0", b"stored")
    paths = [
        volume / "0.jpg",
        volume / "link.jpg",
        volume / "../secret.jpg",
        secret,
        volume / "missing.jpg",
        volume,
    ]
    asked = [("job-1", FileFrame(str(path))) for path in paths]
    assert await pictures(store, [*asked, ("job-1", stored)]) == [
        b"picture",
        None,
        None,
        None,
        None,
        None,
        b"stored",
    ]
    await store.delete(asked)
    assert (volume / "0.jpg").exists(), "the files belong to who wrote them"
    assert await pictures(FrameStore(redis, NAMES, ttl=100), asked[:1]) == [None]


async def test_a_directory_keeps_frames_as_the_server_does(redis: Redis, tmp_path: Path) -> None:
    directory = tmp_path.resolve()
    (directory / "holiday.jpg").write_bytes(b"not the store's")
    store = FrameStore(redis, NAMES, ttl=100, directory=directory)
    for job in ("job-1", "..", "a:b"):
        stored = await store.put(job, RUN, "0", f"picture of {job}".encode())
        assert isinstance(stored, FileFrame) and Path(stored.path).parent == directory
        elsewhere = FrameStore(redis, NAMES, ttl=100, directory=directory)
        assert await pictures(elsewhere, [(job, stored)]) == [f"picture of {job}".encode()]
        await elsewhere.delete([(job, stored), (job, FileFrame(str(directory / "holiday.jpg")))])
        assert await pictures(store, [(job, stored)]) == [None]
    assert [path.name for path in directory.iterdir()] == ["holiday.jpg"]
    assert await stored_keys(redis) == []


async def test_the_directory_may_lie_in_memory(redis: Redis) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        store = FrameStore(redis, NAMES, ttl=100, directory=Path(directory))
        stored = await store.put("job-1", RUN, "0", b"picture")
        assert await pictures(store, [("job-1", stored)]) == [b"picture"]


async def test_files_of_the_store_that_nobody_deletes_are_dropped_in_time(
    redis: Redis, tmp_path: Path
) -> None:
    old = time.time() - 101
    first = FrameStore(redis, NAMES, ttl=100, directory=tmp_path)
    forgotten = Path(str((await first.put("job-1", RUN, "0", b"picture")).path))  # type: ignore[union-attr]
    (tmp_path / "holiday.jpg").write_bytes(b"not the store's")
    for path in (forgotten, tmp_path / "holiday.jpg"):
        os.utime(path, (old, old))
    kept = await FrameStore(redis, NAMES, ttl=100, directory=tmp_path).put("job-1", RUN, "1", b"picture")
    assert isinstance(kept, FileFrame)
    assert {str(path) for path in tmp_path.iterdir()} == {kept.path, str(tmp_path / "holiday.jpg")}


async def test_asking_for_nothing_asks_nobody(redis: Redis) -> None:
    store = FrameStore(redis, NAMES, ttl=100)
    assert await pictures(store, []) == []
    await store.delete([])
