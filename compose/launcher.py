"""Runs all process types on one machine, for ``faces up``."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from compose.append_only_file import keeping_whole
from compose.arguments import DEFAULT_LIBRARY
from compose.data_directory import URL as URL_FILE
from compose.server import embedded_server, wait_for_server
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from schemas.cgroups import usable_cores
from schemas.redaction import redact
from schemas.settings import is_loopback
from schemas.store.connection import connect
from schemas.topology import PROCESSES

COMMANDS = {"api": ("api",)} | {name: ("consumers", *types) for name, types in PROCESSES.items()}
"""Module to run, and its arguments, by process type; the same as in the Procfile."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of ``faces up``.

    Attributes:
        data: directory of the embedded server's data.
        scale: number of processes by type; 1 for a type that is not named.
        insecure: no request needs an API key, whatever the address of the API.
    """

    host: str
    port: int
    data: Path
    server_port: int
    scale: dict[str, int]
    insecure: bool = False


async def launch(options: UpOptions, ready_seconds: float) -> None:
    """Runs all processes until Ctrl-C or SIGTERM.

    Raises:
        ProcessFailed: a process cannot be kept running, or not every stage is ready in time.
    """
    check_free(options.host, options.port)
    supervisor = Supervisor()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        embedded, url = None, os.environ.get("REDIS_URL", "")
        if not url:
            embedded, url = await stack.enter_async_context(
                embedded_server(options.data, options.server_port)
            )
            supervisor.start(embedded)
        try:
            await _or_stopped(supervisor, stop, wait_for_server(url))
            if stop.is_set():
                return
            if embedded is not None:
                redis = await stack.enter_async_context(connect(url))
                await stack.enter_async_context(keeping_whole(redis, options.data))
            for child in processes(options, url):
                supervisor.start(child)
            await _or_stopped(supervisor, stop, _ready(supervisor, options, url, ready_seconds))
            await _or_stopped(supervisor, stop, stop.wait())
            supervisor.say("faces", "stopping")
        finally:
            await supervisor.stop(keep=embedded)
            await supervisor.stop()


def check_free(host: str, port: int) -> None:
    """Raises ProcessFailed when the API could not listen on an address, before anything is started."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ProcessFailed(
            f"cannot listen on {host}, port {port}: {reason}; give another --host or --port"
        ) from error


def processes(options: UpOptions, url: str) -> list[Child]:
    """The processes of `COMMANDS`, `scale` of each, with worker names that survive a restart."""
    roots = (
        {}
        if "FACES_MEDIA_ROOTS" in os.environ or not is_loopback(options.host)
        else {"FACES_MEDIA_ROOTS": "/"}
    )
    auth = {"FACES_AUTH": "off"} if options.insecure else {}
    scale = options.scale
    threads = max(1, usable_cores() // max(1, scale.get("analyze", 1)))
    children = []
    for name, module in COMMANDS.items():
        for number in range(1, scale.get(name, 1) + 1):
            environment = clean_environment(
                REDIS_URL=url,
                FACES_HOST=options.host,
                FACES_PORT=str(options.port),
                FACES_WORKER=f"local-{number}",
                LOG_FORMAT=os.environ.get("LOG_FORMAT", "console"),
                **roots,
                **auth,
            )
            environment.setdefault("FACES_THREADS", str(threads))
            environment.setdefault("FACES_LIBRARY", DEFAULT_LIBRARY)
            children.append(Child(f"{name}.{number}", [sys.executable, "-m", *module], environment))
    return children


async def _ready(supervisor: Supervisor, options: UpOptions, url: str, seconds: float) -> None:
    address = str(URL.build(scheme="http", host=options.host, port=options.port))
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while not await _healthy(session, address):
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"not all stages are ready after {seconds:g} s; see their log lines above"
                )
            await asyncio.sleep(0.1)
    streams = redact(url) if os.environ.get("REDIS_URL") else f"REDIS_URL=$(cat {options.data / URL_FILE})"
    supervisor.say("faces", f"ready: {address}/faces/health, streams: {streams}; Ctrl-C stops")


async def _healthy(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/faces/health", timeout=aiohttp.ClientTimeout(2)) as response:
            return bool(msgspec.json.decode(await response.read())["status"] == "healthy")
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, KeyError):
        return False  # still starting


async def _or_stopped(supervisor: Supervisor, stop: asyncio.Event, work: object) -> None:
    """Waits until the work is done or a stop is requested; raises ProcessFailed when a child has failed for good."""
    tasks = [
        asyncio.ensure_future(work),  # type: ignore[call-overload]
        asyncio.create_task(stop.wait()),
        asyncio.create_task(supervisor.wait()),
    ]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
