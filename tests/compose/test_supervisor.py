"""The supervisor: what dies is started again, what cannot start says why, everything stops."""

import asyncio
import contextlib
import io
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from compose.data_directory import LOCK
from compose.server import embedded_server, free_port, wait_for_server
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from schemas.names import Names
from schemas.store.api_keys import ApiKeys
from schemas.store.connection import connect
from tests.waiting import BOUND_SECONDS, eventually_async


def child(name: str, code: str) -> Child:
    return Child(name, [sys.executable, "-c", code], clean_environment())


async def printed(output: io.StringIO, words: str, times: int = 1) -> None:
    await eventually_async(lambda: output.getvalue().count(words) >= times)


async def test_a_killed_process_is_started_again_and_said_so() -> None:
    output = io.StringIO()
    supervisor = Supervisor(output)
    worker = child("worker.1", "import time; print('here', flush=True); time.sleep(60)")
    supervisor.start(worker)
    try:
        await printed(output, "worker.1    | here")
        assert worker.process is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        await printed(output, "worker.1    | here", times=2)
        assert "worker.1 exited (signal SIGKILL); restarting in 0.2 s" in output.getvalue()
    finally:
        await supervisor.stop()
    assert worker.process.returncode == -signal.SIGTERM


async def test_a_process_that_cannot_start_is_not_tried_again() -> None:
    output = io.StringIO()
    supervisor = Supervisor(output)
    supervisor.start(child("worker.1", "import sys; print('REDIS_URL: no such server'); sys.exit(2)"))
    with pytest.raises(ProcessFailed, match="no such server"):
        await supervisor.wait()
    await supervisor.stop()
    assert "restarting" not in output.getvalue()


async def test_a_process_that_is_started_later_is_watched_as_well() -> None:
    supervisor = Supervisor(io.StringIO())
    supervisor.start(child("server", "import time; time.sleep(60)"))
    waiting = asyncio.create_task(supervisor.wait())
    await asyncio.sleep(0)  # it waits now
    supervisor.start(child("worker.1", "import sys; print('no CUDA here'); sys.exit(2)"))
    with pytest.raises(ProcessFailed, match="no CUDA here"):
        async with asyncio.timeout(BOUND_SECONDS):
            await waiting
    await supervisor.stop()


async def test_a_process_that_keeps_dying_is_given_up() -> None:
    supervisor = Supervisor(io.StringIO(), pauses=(0.01, 0.01))
    supervisor.start(child("worker.1", "raise ValueError('a bug')"))
    with pytest.raises(ProcessFailed, match=r"(?s)worker.1 exited 3 times in a row \(exit status 1\).*a bug"):
        await supervisor.wait()
    await supervisor.stop()


async def test_a_process_that_will_not_stop_is_killed() -> None:
    output = io.StringIO()
    supervisor = Supervisor(output)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"import signal, time; {ignore}; print('deaf', flush=True); time.sleep(60)"
    stubborn = child("worker.1", code)
    supervisor.start(stubborn)
    await printed(output, "deaf")
    await supervisor.stop(within=0.3)
    assert stubborn.process is not None and stubborn.process.returncode == -signal.SIGKILL


async def test_the_embedded_server_keeps_its_data(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        async with running_server(tmp_path / "data") as url, Redis.from_url(url) as redis:
            assert await redis.get("key") == expected
            await redis.set("key", "kept")
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("by_port", [False, True])
async def test_only_the_user_of_the_embedded_server_can_reach_it(tmp_path: Path, by_port: bool) -> None:
    data, port = tmp_path / "data", free_port() if by_port else 0
    async with running_server(data, port) as url, connect(url) as redis:
        await redis.set("key", "kept")
        await ApiKeys(redis, Names()).create("mine", ("read",))
        files = [data, *data.rglob("*")]
        assert {f"{file.name} {stat.S_IMODE(file.stat().st_mode):o}" for file in files if not file.is_dir()} >= {
            "redis-url 600", "server.conf 600", "faces.lock 600", "appendonly.aof.1.incr.aof 600",
        }  # fmt: skip
        assert not [file for file in files if file.stat().st_mode & 0o077]
        if port:
            async with connect(f"redis://127.0.0.1:{port}/0") as stranger:
                with pytest.raises(AuthenticationError):
                    await ApiKeys(stranger, Names()).create("planted", ("admin",))
            password = url.split(":")[2].split("@")[0]
            assert not [line for line in _command_lines() if password in line]
        else:
            assert not await _listens_on_tcp(redis)


async def test_a_directory_open_to_others_is_refused_or_made_private(tmp_path: Path) -> None:
    made_before = tmp_path / "before"
    (made_before / "appendonlydir").mkdir(parents=True)
    made_before.chmod(0o775)
    async with running_server(made_before):
        assert stat.S_IMODE(made_before.stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "film.mp4").touch()
    shared.chmod(0o755)
    with pytest.raises(ProcessFailed, match="shared can be opened by other users; chmod 700 it"):
        async with running_server(shared):
            pass


async def test_one_data_directory_has_one_service(tmp_path: Path) -> None:
    async with running_server(tmp_path / "data"):
        owner = f"{os.getpid()} ({' '.join(sys.argv)[:1000]})"
        sentence = f"data is in use by process {owner}; stop it, or give another --data"
        with pytest.raises(ProcessFailed, match=re.escape(sentence)):
            async with embedded_server(tmp_path / "data"):
                pass


async def test_a_server_left_by_a_killed_service_keeps_the_directory(tmp_path: Path) -> None:
    """Two servers would share one append-only file until the first has stopped."""
    async with embedded_server(tmp_path) as (server, _):
        left = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=tuple(server.inherited))
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    (tmp_path / LOCK).write_text(f"{dead.pid} (faces up)")
    try:
        starting = asyncio.create_task(_begin_and_end(tmp_path))
        await asyncio.wait([starting], timeout=0.3)
        assert not starting.done()
    finally:
        left.kill()
        await left.wait()
    await starting


@pytest.mark.parametrize("repair", [True, False])
async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, repair: bool) -> None:
    data = tmp_path / "data"
    async with running_server(data) as url, connect(url) as redis:
        for number in range(100):
            await redis.set(f"key {number}", "x" * 100)
    file = data / "appendonlydir" / ("appendonly.aof.1.incr.aof" if repair else "appendonly.aof.manifest")
    text = bytearray(file.read_bytes())
    text[len(text) // 2 : len(text) // 2 + 60] = b"x" * 60
    file.write_bytes(text)
    with pytest.raises(
        ProcessFailed, match=f"{file.name} is damaged, and .* start with another --data"
    ) as failure:
        async with running_server(data):
            pass
    assert ("run: bash -c" in str(failure.value)) == repair
    if repair:
        command = str(failure.value).partition("run: ")[2]
        await asyncio.to_thread(
            subprocess.run, command, shell=True, input=b"y\n", check=True, capture_output=True
        )
        async with running_server(data) as url, connect(url) as redis:
            assert 10 < await redis.dbsize() < 100


async def test_a_throw_away_server_writes_no_data(tmp_path: Path) -> None:
    async with running_server(tmp_path, durable=False) as url, connect(url) as redis:
        await redis.set("key", "x")
        assert {file.name for file in tmp_path.iterdir()} == {
            "faces.lock",
            "redis-url",
            "server.conf",
            "server.sock",
        }


async def test_a_line_of_any_length_does_not_end_the_supervisor() -> None:
    output = io.StringIO()
    supervisor = Supervisor(output)
    writes = "sys.stdout.write('a' * (3 << 20) + chr(10) + 'after' + chr(10) + 'no end'); sys.stdout.flush()"
    worker = child("worker.1", f"import sys, time; {writes}; time.sleep(60)")
    supervisor.start(worker)
    try:
        await printed(output, "worker.1    | after")
    finally:
        await supervisor.stop()
    lines = [line.partition("| ")[2] for line in output.getvalue().splitlines()]
    assert "".join(lines) == "a" * (3 << 20) + "after" + "no end"
    assert max(map(len, lines)) <= 16 << 10 and max(map(len, worker.last_lines)) <= 2000


async def test_a_wrong_password_of_the_server_is_reported_at_once_and_not_shown(tmp_path: Path) -> None:
    async with running_server(tmp_path, free_port()) as url:
        with pytest.raises(ProcessFailed, match="invalid username-password") as refused:
            await asyncio.wait_for(wait_for_server(url.replace("redis://:", "redis://:no-longer-")), 20)
    assert "no-longer" not in str(refused.value)


@contextlib.asynccontextmanager
async def running_server(data: Path, port: int = 0, *, durable: bool = True) -> AsyncIterator[str]:
    supervisor = Supervisor(io.StringIO())
    async with embedded_server(data, port, durable=durable) as (server, url):
        supervisor.start(server)
        ready, failure = asyncio.create_task(wait_for_server(url)), asyncio.create_task(supervisor.wait())
        try:
            await asyncio.wait([ready, failure], return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
            await ready
            yield url
        finally:
            ready.cancel()
            failure.cancel()
            await supervisor.stop()


async def _begin_and_end(data: Path) -> None:
    async with embedded_server(data):
        pass


async def _listens_on_tcp(redis: Redis) -> bool:
    return bool((await redis.config_get("port"))["port"] != "0")


def _command_lines() -> list[str]:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            lines.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return lines
