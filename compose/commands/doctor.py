"""``faces doctor``: checks models, media roots, the Redis server, workers, streams and dead letters."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from compose import service
from compose.arguments import Commands, service_options, to_type
from compose.failures import NO_SERVICE
from compose.terminal import counted, print_json
from schemas.names import Names, Partitions
from schemas.settings import Settings, SettingsError
from schemas.topology import WORKER_TYPES

if TYPE_CHECKING:  # redis takes long to import
    from redis.asyncio import Redis

    from schemas.store.queues import Queue
    from schemas.store.workers import WorkerInfo

MAX_ENTRY_AGE = 600.0
"""Seconds; a stream whose first entry is older makes the queues BAD."""
MAX_MEMORY_SHARE = 0.9
"""Of the server's limit; above it the server is reported as BAD."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one concern.

    Attributes:
        well: False when the service cannot do its work, or will not be able to soon.
        note: the service works, and something waits for an operator.
        advice: what to do.
    """

    about: str
    well: bool = True
    note: bool = False
    details: str
    advice: str = ""


def register(commands: Commands) -> None:
    """Adds ``faces doctor``."""
    parser = commands.add_parser(
        "doctor",
        help="check models, server, workers and queues, and say what to do",
        parents=[service_options()],
    )
    parser.set_defaults(run=run)


def run(data: Path | None, as_json: bool) -> int:
    """Prints the findings.

    Returns:
        Exit status: 0 when all is well.
    """
    try:
        findings = asyncio.run(_examine(service.settings(data), data))
    except SettingsError as error:
        findings = [Finding(about="settings", well=False, details=str(error))]
    if as_json:
        print_json(findings)
    else:
        _print(findings)
    return 0 if all(finding.well for finding in findings) else 1


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for finding in findings:
        verdict, colour = ("ok", "green") if finding.well else ("BAD", "red")
        if finding.well and finding.note:
            verdict, colour = "note", "yellow"
        console.print(Text(f"{verdict:<5}", colour), end="")
        console.print(Text(f"{finding.about}: {finding.details}"))
        if finding.advice:
            console.print(Text(f"     {finding.advice}"))


async def _examine(settings: Settings, data: Path | None) -> list[Finding]:
    from redis.exceptions import RedisError

    from consumers.runtime.connection import ServerError, check_server
    from schemas.store.connection import connect

    findings = [_models(settings), _roots(settings), _memory(settings)]
    redis = connect(settings.redis_url)
    try:
        findings.append(await _server(redis, await check_server(redis), data))
        findings += await _work(redis, Partitions(settings.prefix, settings.partitions), data)
    except (ServerError, RedisError) as error:
        advice = "" if os.environ.get("REDIS_URL") else NO_SERVICE
        findings.append(Finding(about="server", well=False, details=str(error), advice=advice))
    finally:
        await redis.aclose()
    return findings


def _models(settings: Settings) -> Finding:
    from models import fetch

    problems = fetch.verify(settings.pack, settings.models_path)
    return Finding(
        about="models",
        well=not problems,
        details=f"{settings.pack}: "
        + ("; ".join(problems) or f"{fetch.soundness(settings.pack)}, in {settings.models_path}"),
        advice=to_type(f"models fetch {settings.pack}") if problems else "",
    )


def _roots(settings: Settings) -> Finding:
    roots = [root for root in settings.roots if root != settings.upload_path]  # made with the first upload
    bad = [str(root) for root in roots if not (root.exists() and os.access(root, os.R_OK))]
    return Finding(
        about="media roots",
        well=not bad,
        details=f"missing or not readable: {', '.join(bad)}" if bad else ", ".join(map(str, roots)),
        advice="set FACES_MEDIA_ROOTS to directories that exist here" if bad else "",
    )


def _memory(settings: Settings) -> Finding:
    source = "FACES_MAX_MEMORY" if settings.max_memory else "default, or 7/8 of the container's limit"
    return Finding(about="memory of a worker", details=f"{settings.memory_bytes >> 20} MiB ({source})")


async def _server(redis: "Redis", version: str, data: Path | None) -> Finding:
    from schemas.store.connection import memory

    info = await memory(redis)
    used, limit = info["used_memory"], info["maxmemory"]
    well = not limit or used < MAX_MEMORY_SHARE * limit
    return Finding(
        about="server",
        well=well,
        details=f"{version}, {used / 1e6:.1f} MB" + (f" of {limit / 1e6:.0f} MB" if limit else ""),
        advice=""
        if well
        else f"give it more memory, or delete old jobs: {to_type('jobs delete JOB_ID', data)}",
    )


async def _work(redis: "Redis", partitions: Partitions, data: Path | None) -> list[Finding]:
    from schemas.store import queues, workers

    alive = await workers.alive(redis, partitions.home)
    measured = await queues.measure(redis, partitions.all)
    lost = [holder for names in partitions.all for holder in await _lost(redis, names, alive)]
    return [
        _workers(alive),
        _models_in_use(alive),
        _queues(measured, lost),
        await _dead(redis, partitions, data),
    ]


def _workers(alive: "list[WorkerInfo]") -> Finding:
    counts = {kind.name: sum(worker.stage == kind.name for worker in alive) for kind in WORKER_TYPES}
    missing = [kind.name for kind in WORKER_TYPES if kind.required and not counts[kind.name]]
    return Finding(
        about="workers",
        well=not missing,
        details=", ".join(f"{count} {name}" for name, count in counts.items()),
        advice=f"start one of each that is missing, or faces up: python -m consumers {' '.join(missing)}"
        if missing
        else "",
    )


def _models_in_use(alive: "list[WorkerInfo]") -> Finding:
    """The models and execution providers of the analyze workers; results differ where these do."""
    used = sorted({f"{worker.pack} on {', '.join(worker.providers)}" for worker in alive if worker.pack})
    return Finding(
        about="models in use",
        well=len(used) < 2,
        details="; ".join(used) or "none, no analyze worker runs",
        advice="give all analyze workers the same models and devices" if len(used) > 1 else "",
    )


def _queues(measured: "list[Queue]", lost: list[str]) -> Finding:
    """Waiting messages of all streams, and those held by workers that are gone: they are claimed after the lease."""
    late = [queue for queue in measured if queue.oldest_seconds >= MAX_ENTRY_AGE]
    entries, held = sum(queue.entries for queue in measured), sum(queue.held for queue in measured)
    details = f"{entries} messages, {held} of them being worked on"
    if late:
        slow = max(late, key=lambda queue: queue.oldest_seconds)
        details += f"; the oldest of {slow.stream} waits for {slow.oldest_seconds / 60:.0f} min"
    if lost:
        details += f"; held by workers that are gone: {', '.join(sorted(set(lost)))}"
    advice = "other workers take these over after the lease (30 s)" if lost else ""
    if late:
        advice = f"start more workers of {late[0].stage}, or look for crashes in their log"
    return Finding(about="queues", well=not late, note=bool(lost), details=details, advice=advice)


async def _lost(redis: "Redis", names: Names, alive: "list[WorkerInfo]") -> list[str]:
    """Names of consumers that hold messages and belong to no live worker."""
    from redis.exceptions import ResponseError

    from schemas.topology import groups

    known, found = {worker.consumer for worker in alive}, []
    for stream, group in groups(names).items():
        try:
            consumers = await redis.xinfo_consumers(stream, group)
        except ResponseError:
            continue  # no worker has created the group yet
        found += [consumer["name"].decode() for consumer in consumers if consumer["pending"]]
    return [name for name in found if name not in known]


async def _dead(redis: "Redis", partitions: Partitions, data: Path | None) -> Finding:
    from schemas.store import queues

    dead = await queues.dead_letters(redis, partitions)
    return Finding(
        about="dead letters",
        note=dead > 0,
        details=f"{counted(dead, 'message was', 'messages were')} given up" if dead else "none",
        advice=f"{to_type('dead list', data)} says why; dead replay or dead drop settles them"
        if dead
        else "",
    )
