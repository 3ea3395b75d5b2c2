"""Open connections are bounded in number, below the limit on open files, and in time; probes are still answered."""

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from api import connections
from api.connections import max_connections
from api.metrics import registry
from compose.server import free_port
from schemas.requests import AnalyzeRequest
from schemas.settings import SettingsError
from schemas.store.jobs import Jobs
from tests.api.conftest import served
from tests.waiting import eventually_async

OPEN_FILES = 1024
HALF_A_HEADER = b"GET /faces/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
SLOW_BODY = b"POST /faces/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
EVENTS = b"GET /faces/jobs/watched/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def api_process(valkey: str) -> AsyncIterator[int]:
    """Runs `python -m api` with few open files; yields its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api",
        env={**os.environ, "REDIS_URL": valkey, "FACES_PORT": str(port)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES // 2, OPEN_FILES)),
    )  # fmt: skip
    try:
        yield port
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def answers(port: int, path: str = "live") -> bool:
    timeout = aiohttp.ClientTimeout(20)  # of one try; probes of an orchestrator have about 1 s
    with suppress(aiohttp.ClientConnectorError):
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/faces/{path}", timeout=timeout) as answer:
            return answer.status == 200
    return False


def closed(reason: str) -> float:
    return registry.get_sample_value("faces_http_connections_closed_total", {"reason": reason}) or 0.0


async def test_probes_are_answered_while_more_connections_are_open_than_files(
    valkey: str, jobs: Jobs
) -> None:
    await jobs.submit(AnalyzeRequest(video_path="/1.mp4"), "watched", "")
    async with api_process(valkey) as port:
        await eventually_async(lambda: answers(port))
        kinds = [HALF_A_HEADER, SLOW_BODY, EVENTS, b"", HALF_A_HEADER, SLOW_BODY] * 140
        writers = []
        for number, sent in enumerate(kinds):
            with suppress(ConnectionError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                writers.append(writer)
            if number % 40 == 0:
                assert await answers(port) and await answers(port, "ready")
        assert len(writers) > OPEN_FILES * 0.8
        for _ in range(20):
            assert await answers(port) and await answers(port, "ready")
        for writer in writers:
            writer.transport.abort()
        await eventually_async(lambda: answers(port, "jobs"))


@pytest.mark.parametrize("sent", [b"", b"\r\n", HALF_A_HEADER])
async def test_a_connection_without_a_whole_header_is_closed(
    valkey: str, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_SECONDS", 0.3)
    async with served(valkey) as (_, port):
        before = closed("header")
        kept, keeper = await asyncio.open_connection("127.0.0.1", port)
        keeper.write(b"GET /faces/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await kept.readuntil(b"alive")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        assert closed("header") == before + 1, "the one with a request before is kept"
        writer.close()
        keeper.close()


async def test_a_connection_whose_answers_are_not_read_is_closed(
    valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNREAD_TIMEOUT_SECONDS", 0.3)
    async with served(valkey) as (_, port):
        before = closed("unread")
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /faces/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        await eventually_async(lambda: closed("unread") == before + 1)
        writer.transport.abort()


def test_a_limit_on_open_files_that_is_too_low_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    with pytest.raises(SettingsError, match="limit on open files is 256"):
        max_connections()
