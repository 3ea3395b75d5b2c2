"""The supervisor: what dies is started again, what cannot start says why, everything stops."""

import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from compose.server import embedded_server, wait_for_server
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
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
    from redis.asyncio import Redis

    for expected in (None, b"kept"):
        supervisor = Supervisor(io.StringIO())
        server, url = embedded_server(tmp_path / "data", 0)
        supervisor.start(server)
        try:
            await wait_for_server(url)
            async with Redis.from_url(url) as redis:
                assert await redis.get("key") == expected
                await redis.set("key", "kept")
                assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        finally:
            await supervisor.stop()
