"""The append-only file of the embedded server, after a full disk."""

import contextlib
import io
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from compose.append_only_file import remove_gaps
from compose.server import embedded_server, wait_for_server
from compose.supervisor import Supervisor
from schemas.store.connection import connect
from tests.chaos.faults import fill, small_disk
from tests.waiting import eventually_async


async def test_what_was_accepted_outlives_a_full_disk_and_a_kill(tmp_path: Path) -> None:
    """A write that the disk takes in part leaves a gap in a file that the server has begun in a rewrite."""
    output = io.StringIO()
    with small_disk(tmp_path / "data", mebibytes=8) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        supervisor = Supervisor(output)
        async with embedded_server(disk) as (server, url):
            supervisor.start(server)
            try:
                await wait_for_server(url)
                async with connect(url) as redis:
                    await _rewrite(redis, disk / "appendonlydir" / "appendonly.aof.2.incr.aof")
                    filler = fill(disk)
                    with filler.open("r+b") as shorter:  # room for a part of the next write
                        shorter.truncate(filler.stat().st_size - 4096)
                    await redis.set("before", b"\0" * 20_000)
                    filler.unlink()
                    await eventually_async(lambda: _set(redis, "after"))
                    for kills in (1, 2):  # at the second one nothing is damaged any more
                        assert server.process is not None
                        server.process.kill()
                        await eventually_async(lambda: output.getvalue().count("SIGKILL") == kills)  # noqa: B023
                        await eventually_async(lambda: _set(redis, "restarted"))
                    assert await redis.strlen("before") == 20_000
                    assert sorted(await redis.keys()) == [b"after", b"before", b"restarted"]
            finally:
                await supervisor.stop()
    assert "which a full disk had left there; no data is lost" in output.getvalue()


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
