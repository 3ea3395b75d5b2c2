"""The append-only file of the embedded server, after a full disk."""

import contextlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from compose.append_only_file import keeping_whole, remove_gaps
from compose.server import embedded_server, wait_for_server
from compose.supervisor import Child, Supervisor
from schemas.store.connection import connect
from tests.chaos.faults import fill, small_disk
from tests.waiting import eventually_async


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "data", mebibytes=8) as mounted:
        if mounted is None:
            pytest.skip("this user may not mount a small disk")
        yield mounted


async def test_what_was_accepted_outlives_a_full_disk_and_a_kill(disk: Path) -> None:
    """A write that the disk takes in part leaves a gap in a file that the server has begun in a rewrite."""
    async with _server(disk) as (server, redis, output):
        await _rewrite(redis, disk / "appendonlydir" / "appendonly.aof.2.incr.aof")
        await _meet_a_full_disk(redis, disk, 1)
        for kills in (1, 2):  # at the second one nothing is damaged any more
            await _kill(server, redis, output, kills)
        assert await redis.strlen("before 1") == 20_000
        assert sorted(await redis.keys()) == [b"after 1", b"before 1", b"restarted"]
        assert "which a full disk had left there; no data is lost" in output.getvalue()


async def test_what_was_accepted_outlives_a_disk_that_is_full_twice(disk: Path) -> None:
    """At the second time the server would cut off as much of what it had written as the gap is long."""
    async with _server(disk) as (server, redis, output), keeping_whole(redis, disk):
        await _rewrite(redis, disk / "appendonlydir" / "appendonly.aof.2.incr.aof")
        await _meet_a_full_disk(redis, disk, 1)
        await eventually_async((disk / "appendonlydir" / "appendonly.aof.3.incr.aof").exists)
        await _meet_a_full_disk(redis, disk, 2)
        await _kill(server, redis, output, 1)
        for time in (1, 2):
            assert await redis.strlen(f"before {time}") == 20_000
            assert await redis.get(f"after {time}") == b"x"


@contextlib.asynccontextmanager
async def _server(disk: Path) -> AsyncIterator[tuple[Child, Redis, io.StringIO]]:
    output = io.StringIO()
    supervisor = Supervisor(output)
    async with embedded_server(disk) as (server, url), connect(url) as redis:
        supervisor.start(server)
        try:
            await wait_for_server(url)
            yield server, redis, output
        finally:
            await supervisor.stop()


async def _meet_a_full_disk(redis: Redis, disk: Path, time: int) -> None:
    filler = fill(disk)
    with filler.open("r+b") as shorter:  # room for a part of the next write
        shorter.truncate(filler.stat().st_size - 4096)
    await redis.set(f"before {time}", b"\0" * 20_000)
    filler.unlink()
    await eventually_async(lambda: _set(redis, f"after {time}"))


async def _kill(server: Child, redis: Redis, output: io.StringIO, kills: int) -> None:
    assert server.process is not None
    server.process.kill()
    await eventually_async(lambda: output.getvalue().count("SIGKILL") == kills)
    await eventually_async(lambda: _set(redis, "restarted"))


async def _rewrite(redis: Redis, file: Path) -> None:
    await redis.bgrewriteaof()

    async def done() -> bool:
        return file.exists() and (await redis.info("persistence"))["aof_rewrite_in_progress"] == 0

    await eventually_async(done)


async def _set(redis: Redis, key: str) -> bool:
    with contextlib.suppress(RedisError):
        return bool(await redis.set(key, "x"))
    return False


def test_zeros_within_values_and_other_damage_stay(tmp_path: Path) -> None:
    file = tmp_path / "incr.aof"
    commands = [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\n" + b"\0" * 9 + b"\r\n", b"*1\r\n$5\r\nMULTI\r\n"]
    file.write_bytes(commands[0] + bytes(700) + commands[1] + bytes(3) + commands[0])
    assert remove_gaps(file) == 703
    assert file.read_bytes() == commands[0] + commands[1] + commands[0]
    damaged = commands[0] + b"xxx\r\n" + bytes(3) + commands[1]
    for text in (damaged, b"", commands[0][:-12]):
        file.write_bytes(text)
        assert remove_gaps(file) == 0
        assert file.read_bytes() == text
    assert [file] == list(tmp_path.iterdir())
