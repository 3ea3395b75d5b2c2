"""Moves the data of an earlier version, which had all keys under one prefix, to their present names.

The process of finalize and the API do so before they begin, ``faces migrate`` does nothing else. Each key is moved in
one step of the server, so several processes may move at the same time, and one that dies leaves nothing half done:
the next one goes on. The streams are moved last, accepted jobs at the very end: work begins when all is in place.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import cast

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from schemas.names import CollectionKeys, JobKeys, Names, Partitions
from schemas.store.clock import server_time
from schemas.store.lua import Call, load, run
from schemas.store.workers import ALIVE_SECONDS, WorkerInfo
from schemas.topology import stages

log = structlog.get_logger(__name__)

MOVE, SHARE = load(__package__, "move"), load(__package__, "share")
KEYS_PER_STEP = 100
"""Keys that one script moves: it blocks the server for all other clients."""
JOBS_PER_STEP = 20
"""Jobs whose states and results one script copies."""
KEYS_PER_SCAN = 1000
"""Keys of the server, also of other programs, that one SCAN looks at."""
WAIT_SECONDS = 2.0
"""Pause before it is checked again whether workers of the earlier version still run."""
_FOUND = re.compile(
    rf"job:.+:({'|'.join(JobKeys._fields)}|deleted)|collection:.+:({'|'.join(CollectionKeys._fields)})"
    "|idempotency:.+|enhanced:.+"
)
"""Keys, without the prefix, that no other key lists. What expires within minutes is not moved."""


LISTS = ("keys", "collections:names", "jobs", "active", "dead")
"""Keys, without the prefix, that are no streams of a stage."""


class MigrationDenied(Exception):
    """The user of the server may not move the data of an earlier version; the text says what to do."""


async def migrate(redis: Redis, partitions: Partitions) -> None:
    """Moves what an earlier version has stored, once its workers have ended; does nothing when there is nothing.

    Raises:
        MigrationDenied: there is something, and this user of the server may not move it.
    """
    for names in partitions.all:
        if not await redis.exists(*(_earlier(names, name) for name in (*LISTS, *_streams(names)))):
            continue
        await _until_ended(redis, names)
        log.info("moving data of an earlier version", prefix=names.shared)
        try:
            await _move_jobs_and_collections(redis, names)
            await _move(redis, names, (*LISTS, *_delay_sets(names)))
            await _share(redis, names)
            await _move(redis, names, _streams(names))
        except NoPermissionError as error:
            raise MigrationDenied(
                "the server holds data of an earlier version, which this user may not move; run `faces migrate` as"
                " the user faces-operator"
            ) from error
        log.info("data of an earlier version moved", prefix=names.shared)


def _streams(names: Names) -> list[str]:
    """Names, without the prefix, of the streams that have another name now; the one where work begins is the last."""
    read = (stream for stage in reversed(stages(names)) for stream in stage.streams)
    return [names.short(stream) for stream in read if stream != _earlier(names, names.short(stream))]


def _delay_sets(names: Names) -> list[str]:
    return [names.short(names.delayed(stream)) for stage in stages(names) for stream in stage.streams]


def _earlier(names: Names, name: str) -> str:
    return f"{names.shared}:{name}"


async def _until_ended(redis: Redis, names: Names) -> None:
    """Waits until no worker of the earlier version runs: it would work on with the earlier names."""
    while True:
        key = _earlier(names, "workers")
        stored = await redis.hgetall(key)
        infos = [msgspec.json.decode(value, type=WorkerInfo) for value in stored.values()]
        oldest = await server_time(redis, key) - ALIVE_SECONDS
        running = sorted(info.consumer for info in infos if info.seen >= oldest)
        if not running:
            return
        log.warning("workers of an earlier version are to be stopped first", workers=running)
        await asyncio.sleep(WAIT_SECONDS)


async def _move_jobs_and_collections(redis: Redis, names: Names) -> None:
    """Moves what is stored of each job and collection; it is found by its names."""
    found: list[str] = []
    async for key in redis.scan_iter(match=_earlier(names, "*"), count=KEYS_PER_SCAN):
        name = cast("bytes", key).decode(errors="replace").removeprefix(_earlier(names, ""))
        if _FOUND.fullmatch(name):
            found.append(name)
        if len(found) == KEYS_PER_STEP:
            await _move(redis, names, found)
            found.clear()
    await _move(redis, names, found)


async def _move(redis: Redis, names: Names, moved: Sequence[str]) -> None:
    """Moves keys, given by their names without the prefix."""
    keys = [key for name in moved for key in (names.stream(name), _earlier(names, name))]
    for stays in cast("list[bytes]", await run(redis, Call(MOVE, keys, []))):
        log.error("data of an earlier version stays, its present name is in use", key=stays.decode())


async def _share(redis: Redis, names: Names) -> None:
    """Copies the states and results of all jobs for other programs."""
    listed = cast("list[bytes]", await redis.zrange(names.jobs, 0, -1))
    for start in range(0, len(listed), JOBS_PER_STEP):
        jobs = [names.job(job.decode()) for job in listed[start : start + JOBS_PER_STEP]]
        await run(redis, Call(SHARE, [key for job in jobs for key in (job.metadata, job.result)], []))
