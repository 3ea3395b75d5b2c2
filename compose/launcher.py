"""Runs all process types on one machine, for ``faces up``."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from compose import service
from compose.append_only_file import keeping_whole
from compose.arguments import DEFAULT_LIBRARY
from compose.data_directory import LOG, private_directory
from compose.log_file import LogFile
from compose.server import embedded_server, wait_for_server
from compose.service import Running
from compose.supervisor import OURSELVES, Child, ProcessFailed, Supervisor, clean_environment
from schemas.cgroups import usable_cores
from schemas.redaction import redact
from schemas.settings import Settings, given, is_loopback
from schemas.store.connection import connect
from schemas.topology import PROCESSES

COMMANDS = {"api": ("api",)} | {name: ("consumers", *types) for name, types in PROCESSES.items()}
"""Module to run, and its arguments, by process type; the same as in the Procfile."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of ``faces up``.

    Attributes:
        data: directory of the embedded server's data, of the log and of the record that other commands read.
        scale: number of processes by type; 1 for a type that is not named.
        insecure: no request needs an API key, whatever the address of the API.
        verbose: the log lines are written to standard error as well.
        opened: the page is opened in the user's browser.
    """

    host: str
    port: int
    data: Path
    server_port: int
    scale: dict[str, int]
    insecure: bool = False
    verbose: bool = False
    opened: bool = False


async def launch(options: UpOptions, ready_seconds: float) -> None:
    """Runs all processes until Ctrl-C or SIGTERM.

    Raises:
        ProcessFailed: a process cannot be kept running, or not every stage is ready in time.
    """
    check_free(options.host, options.port)
    async with contextlib.AsyncExitStack() as stack:
        log = stack.enter_context(
            contextlib.closing(LogFile(options.data / LOG, sys.stderr if options.verbose else None))
        )
        supervisor = Supervisor(log, screen=None if options.verbose else sys.stderr)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        embedded, url = None, str(mine.value) if (mine := given(os.environ).get("REDIS_URL")) else ""
        if url:
            await stack.enter_async_context(private_directory(options.data))
        else:
            embedded, url = await stack.enter_async_context(
                embedded_server(options.data, options.server_port)
            )
            check_free("127.0.0.1", options.server_port, "--server-port")
            supervisor.start(embedded)
        common = environment(options, url)
        settings, page = Settings.from_env(common), page_address(options)
        running = Running(pid=os.getpid(), url=page, since=time.time(), log=str(log.path), settings=settings)
        service.write(options.data, running)
        stack.callback((options.data / service.RECORD).unlink, missing_ok=True)
        supervisor.say(OURSELVES, f"starting; the log is in {log.path}")
        if embedded is None:
            supervisor.say(OURSELVES, f"the server is {redact(url)} (REDIS_URL)")
        try:
            await _or_stopped(supervisor, stop, wait_for_server(url))
            if stop.is_set():
                return
            if embedded is not None:
                redis = await stack.enter_async_context(connect(url))
                await stack.enter_async_context(keeping_whole(redis, options.data))
            for child in processes(options.scale, common):
                supervisor.start(child)
            await _or_stopped(supervisor, stop, _ready(options, ready_seconds))
            if not stop.is_set():
                if options.opened and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
                    await asyncio.to_thread(
                        webbrowser.open, page
                    )  # elsewhere it would be one in this terminal
                supervisor.say(OURSELVES, f"ready: {page} (Ctrl-C stops)")
            await _or_stopped(supervisor, stop, stop.wait())
            supervisor.say(OURSELVES, "stopping")
        finally:
            await supervisor.stop(keep=embedded)
            await supervisor.stop()


def check_free(host: str, port: int, option: str = "--host or --port") -> None:
    """Raises ProcessFailed when nothing can listen on an address, before anything is started.

    Args:
        option: with which another one can be given.
    """
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
            f"cannot listen on {host}, port {port}: {reason}; give another {option}"
        ) from error


def environment(options: UpOptions, url: str) -> dict[str, str]:
    """The environment of all processes, where the user does not say otherwise."""
    mine = given(os.environ)
    changes = {"REDIS_URL": url, "FACES_HOST": options.host, "FACES_PORT": str(options.port)}
    if options.insecure:
        changes["FACES_AUTH"] = "off"
    if is_loopback(options.host) and "FACES_MEDIA_ROOTS" not in mine:
        changes["FACES_MEDIA_ROOTS"] = "/"
    if (
        "FACES_UPLOAD_DIRECTORY" not in mine and "FACES_UPLOAD_DIRECTORY" not in os.environ
    ):  # an empty one means none
        changes["FACES_UPLOAD_DIRECTORY"] = str(options.data / "uploads")
    if "LOG_FORMAT" not in mine:
        changes["LOG_FORMAT"] = "console"
    if "FACES_LIBRARY" not in mine and "FACES_LIBRARY" not in os.environ:  # an empty one means none
        changes["FACES_LIBRARY"] = DEFAULT_LIBRARY
    if "FACES_THREADS" not in mine:
        changes["FACES_THREADS"] = str(max(1, usable_cores() // max(1, options.scale.get("analyze", 1))))
    return clean_environment(**changes)


def processes(scale: dict[str, int], common: dict[str, str]) -> list[Child]:
    """The processes of `COMMANDS`, ``scale`` of each, with worker names that survive a restart."""
    return [
        Child(
            f"{name}.{number}", [sys.executable, "-m", *module], {**common, "FACES_WORKER": f"local-{number}"}
        )
        for name, module in COMMANDS.items()
        for number in range(1, scale.get(name, 1) + 1)
    ]


def page_address(options: UpOptions) -> str:
    """Address of the page on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104
    return str(URL.build(scheme="http", host=host, port=options.port, path="/faces/"))


async def _ready(options: UpOptions, seconds: float) -> None:
    address = f"{page_address(options)}health"
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while not await _healthy(session, address):
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"not all stages are ready after {seconds:g} s; see the log lines in {options.data / LOG}"
                )
            await asyncio.sleep(0.1)


async def _healthy(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address, timeout=aiohttp.ClientTimeout(2)) as response:
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
