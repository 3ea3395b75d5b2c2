"""Data that a running job makes: written while its run goes on, and never after its end or deletion."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from schemas.store.lua import Call, Value, flat, load, milliseconds, run_all

KEEP = load(__package__, "keep")


class HashFields(NamedTuple):
    """Fields for a hash of a job.

    Attributes:
        hash: its key.
        ttl: seconds that the hash is kept from now on.
        replaces: whether the hash loses its other fields.
        removed: fields that the hash loses.
    """

    hash: str
    ttl: float
    fields: Mapping[str, Any]
    replaces: bool = False
    removed: Sequence[str] = ()


class Kept(NamedTuple):
    """What is written of a job in one step.

    Attributes:
        record: key of its record.
        run: run of the job that made it; empty: any.
    """

    record: str
    run: str
    hashes: Sequence[HashFields]


def arguments(hashes: Sequence[HashFields]) -> list[Value]:
    """Returns hashes as scripts take them (``write_hashes`` in ``common.lua``); their keys go into KEYS."""
    args: list[Value] = []
    for one in hashes:
        args += (milliseconds(one.ttl), int(one.replaces), 2 * len(one.fields), len(one.removed))
        args += (*flat(one.fields), *one.removed)
    return args


def keeping(kept: Kept) -> Call:
    """Returns the call that writes data; its reply is 0 when the run is over and nothing was written."""
    return Call(KEEP, [kept.record, *(one.hash for one in kept.hashes)], [kept.run, *arguments(kept.hashes)])


async def keep_all(redis: Redis, data: Sequence[Kept]) -> list[bool]:
    """Writes data in one round trip; returns, for each, False when its run is over and nothing was written."""
    answers = await run_all(redis, [keeping(kept) for kept in data]) if data else []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [bool(answer) for answer in answers]
