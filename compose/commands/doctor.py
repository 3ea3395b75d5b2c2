"""``faces doctor``: checks models, media roots, the Redis server, workers, streams and dead letters."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from compose.arguments import Commands, output_options
from compose.terminal import print_json
from schemas.names import Names, Partitions
from schemas.settings import Settings, SettingsError
from schemas.topology import groups

if TYPE_CHECKING:  # redis takes long to import
    from redis.asyncio import Redis

    from schemas.store.queues import Queue
    from schemas.store.workers import WorkerInfo

MAX_ENTRY_AGE = 600.0
"""Seconds; a stream whose first entry is older is reported as BAD."""
MAX_MEMORY_SHARE = 0.9
"""Of the server's limit; above it the server is reported as BAD."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report.

    Attributes:
        about: what was checked.
        well: False when an operator has to act.
        details: what was found.
    """

    about: str
    well: bool
    details: str


def register(commands: Commands) -> None:
    """Adds ``faces doctor``."""
    parser = commands.add_parser(
        "doctor",
        help="check models, server, workers and queues (server: REDIS_URL)",
        parents=[output_options()],
    )
    parser.set_defaults(run=run)


def run(as_json: bool) -> int:
    """Prints the findings.

    Returns:
        Exit status: 0 when all is well.
    """
    try:
        findings = asyncio.run(_examine(Settings.from_env()))
    except SettingsError as error:
        findings = [Finding("settings", False, str(error))]
    if as_json:
        print_json(findings)
    else:
        _print(findings)
    return 0 if all(finding.well for finding in findings) else 1


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for finding in findings:
        console.print(Text("ok  " if finding.well else "BAD ", "green" if finding.well else "red"), end="")
        console.print(Text(f"{finding.about}: {finding.details}"))


async def _examine(settings: Settings) -> list[Finding]:
    from redis.exceptions import RedisError

    from consumers.runtime.connection import ServerError, check_server
    from schemas.store.connection import connect

    findings = [_models(settings), *_roots(settings), _memory(settings)]
    redis = connect(settings.redis_url)
    try:
        findings.append(await _server(redis, await check_server(redis)))
        findings += await _stages(redis, Partitions(settings.prefix, settings.partitions))
    except (ServerError, RedisError) as error:
        findings.append(Finding("server", False, str(error)))
    finally:
        await redis.aclose()
    return findings


def _models(settings: Settings) -> Finding:
    from models import fetch

    problems = fetch.verify(settings.pack, settings.models_path)
    details = "; ".join(problems) or f"complete, in {settings.models_path}"
    return Finding(f"model pack {settings.pack}", not problems, details)


def _roots(settings: Settings) -> list[Finding]:
    findings = []
    for root in settings.roots:
        readable = Path(root).exists() and os.access(root, os.R_OK)
        details = "readable" if readable else "missing or not readable"
        findings.append(Finding(f"media root {root}", readable, details))
    return findings


def _memory(settings: Settings) -> Finding:
    source = "FACES_MAX_MEMORY" if settings.max_memory else "default, or 7/8 of the container's limit"
    return Finding("memory of a worker", True, f"{settings.memory_bytes >> 20} MiB ({source})")


async def _server(redis: "Redis", version: str) -> Finding:
    from schemas.store.connection import memory

    info = await memory(redis)
    used, limit = info["used_memory"], info["maxmemory"]
    details = f"{version}, {used / 1e6:.1f} MB" + (f" of {limit / 1e6:.0f} MB" if limit else "")
    return Finding("server", not limit or used < MAX_MEMORY_SHARE * limit, details)


async def _stages(redis: "Redis", partitions: Partitions) -> list[Finding]:
    from schemas.store import queues, workers

    alive = await workers.alive(redis, partitions.home)
    findings = [_providers(alive)]
    for names in partitions.all:
        measured = await queues.measure(redis, [names])
        findings += [await _stream(redis, names, queue, alive) for queue in measured]
    dead = await queues.dead_letters(redis, partitions)
    findings.append(Finding("dead letters", dead == 0, f"{dead}" + (" (faces dead list)" if dead else "")))
    return findings


def _providers(alive: "list[WorkerInfo]") -> Finding:
    """The models and execution providers of the analyze workers; results differ where these do."""
    used = sorted({f"{worker.pack} on {', '.join(worker.providers)}" for worker in alive if worker.pack})
    return Finding("models in use", len(used) == 1, "; ".join(used) or "no analyze worker")


async def _stream(redis: "Redis", names: Names, queue: "Queue", alive: "list[WorkerInfo]") -> Finding:
    from redis.exceptions import ResponseError

    stream = next(key for key in groups(names) if names.short(key) == queue.stream)
    try:
        consumers = await redis.xinfo_consumers(stream, queue.stage)
    except ResponseError:
        return Finding(stream, not queue.entries, f"{queue.entries} entries, no consumer group yet")
    serving = sum(worker.stage == queue.stage for worker in alive)
    known = {worker.consumer for worker in alive}
    lost = [consumer for consumer in consumers if consumer["name"].decode() not in known]
    holding = [consumer["name"].decode() for consumer in lost if consumer["pending"]]
    details = (
        f"{serving} workers, lag {queue.entries - queue.held}, pending {queue.held}"
        + (f", oldest entry {queue.oldest_seconds:.0f} s" if queue.entries else "")
        + (f", {len(lost)} consumers without a live worker" if lost else "")
        + (f", pending entries held by {', '.join(holding)}" if holding else "")
    )
    well = serving > 0 and not holding and queue.oldest_seconds < MAX_ENTRY_AGE
    return Finding(stream, well, details)
