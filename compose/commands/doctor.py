"""``faces doctor``: whether everything that the service needs is there, and how its queues stand."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from rich.console import Console
from rich.text import Text

from consumers.runtime.connection import ServerError, check_server
from models import fetch
from schemas.names import Partitions
from schemas.settings import Settings, SettingsError
from schemas.store import workers
from schemas.store.connection import connect, memory
from schemas.topology import groups

OLD = 600.0
"""Seconds after which an entry that still waits is worth a word."""


class Finding(msgspec.Struct, frozen=True):
    """Attributes:
    about: what was looked at.
    well: False when somebody has to do something.
    told: what was seen.
    """

    about: str
    well: bool
    told: str


def run(as_json: bool) -> int:
    """The exit status: 0 when all is well."""
    try:
        findings = asyncio.run(_examine(Settings.from_env()))
    except SettingsError as error:
        findings = [Finding("settings", False, str(error))]
    if as_json:
        sys.stdout.write(msgspec.json.encode(findings).decode() + "\n")
    else:
        console = Console()
        for finding in findings:
            console.print(
                Text("ok  " if finding.well else "BAD ", "green" if finding.well else "red"), end=""
            )
            console.print(Text(f"{finding.about}: {finding.told}"))
    return 0 if all(finding.well for finding in findings) else 1


async def _examine(settings: Settings) -> list[Finding]:
    findings = [*_models(settings), *_roots(settings)]
    redis = connect(settings.redis_url)
    try:
        server = await check_server(redis)
        filled = await memory(redis)
        used, most = filled["used_memory"], filled["maxmemory"]
        told = f"{server}, {used / 1e6:.1f} MB" + (f" of {most / 1e6:.0f} MB" if most else "")
        findings.append(Finding("server", not most or used < 0.9 * most, told))
        findings += await _streams(redis, Partitions(settings.prefix, settings.partitions))
    except (ServerError, RedisError) as error:
        findings.append(Finding("server", False, str(error)))
    finally:
        await redis.aclose()
    return findings


def _models(settings: Settings) -> list[Finding]:
    problems = fetch.verify(settings.pack, settings.models_path)
    told = "; ".join(problems) or f"whole, in {settings.models_path}"
    return [Finding(f"model pack {settings.pack}", not problems, told)]


def _roots(settings: Settings) -> list[Finding]:
    findings = []
    for root in settings.roots:
        readable = Path(root).exists() and os.access(root, os.R_OK)
        findings.append(Finding(f"media root {root}", readable, "readable" if readable else "cannot be read"))
    return findings


async def _streams(redis: Redis, partitions: Partitions) -> list[Finding]:
    alive = await workers.alive(redis, partitions.home)
    findings = [_providers(alive)]
    findings += [
        await _stream(redis, stream, group, alive)
        for names in partitions.all
        for stream, group in groups(names).items()
    ]
    dead = sum([int(await redis.xlen(names.dead)) for names in partitions.all])
    findings.append(Finding("dead letters", dead == 0, f"{dead}" + (" (faces dead list)" if dead else "")))
    return findings


def _providers(alive: list[workers.WorkerInfo]) -> Finding:
    """What the analyze workers say that they run on; those that differ give results that differ."""
    told = sorted({f"{worker.pack} on {', '.join(worker.providers)}" for worker in alive if worker.pack})
    return Finding("models in use", len(told) == 1, "; ".join(told) or "no analyze worker")


async def _stream(redis: Redis, stream: str, group: str, alive: list[workers.WorkerInfo]) -> Finding:
    length = int(await redis.xlen(stream))
    try:
        pending = await redis.xpending(stream, group)
        consumers = await redis.xinfo_consumers(stream, group)
    except ResponseError:
        return Finding(stream, not length, f"{length} entries and no consumer group yet")
    held, serving = int(pending["pending"]), sum(worker.stage == group for worker in alive)
    names = {worker.consumer for worker in alive}
    dead = [consumer for consumer in consumers if consumer["name"].decode() not in names]
    silent = [consumer["name"].decode() for consumer in dead if consumer["pending"]]
    oldest = await _age(redis, stream)
    told = (
        f"{serving} workers, lag {length - held}, pending {held}"
        + (f", oldest entry {oldest:.0f} s" if length else "")
        + (f", {len(dead)} consumers not heard of" if dead else "")
        + (f", holding entries: {', '.join(silent)}" if silent else "")
    )
    return Finding(stream, serving > 0 and not silent and oldest < OLD, told)


async def _age(redis: Redis, stream: str) -> float:
    first = cast("list[tuple[bytes, Any]]", await redis.xrange(stream, count=1))
    return time.time() - int(first[0][0].split(b"-")[0]) / 1000 if first else 0.0
