"""Data that a running job makes: written while its run goes on, and never after its end or deletion."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from schemas.store.lua import Call, flat, load, milliseconds, run_all

KEEP = load(__package__, "keep")


class Kept(NamedTuple):
    """Fields for a hash of a job.

    Attributes:
        record, hash: keys.
        run: run of the job that made them; empty: any.
        ttl: seconds that the hash is kept from now on.
        replaces: whether the hash loses its other fields.
    """

    record: str
    hash: str
    run: str
    ttl: float
    fields: Mapping[str, Any]
    replaces: bool = False


async def keep_all(redis: Redis, data: Sequence[Kept]) -> list[bool]:
    """Writes the fields in one round trip; returns, for each, False when its run is over and nothing was written."""
    calls = [
        Call(
            KEEP,
            [kept.record, kept.hash],
            [kept.run, milliseconds(kept.ttl), int(kept.replaces), *flat(kept.fields)],
        )
        for kept in data
    ]
    answers = await run_all(redis, calls) if calls else []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [bool(answer) for answer in answers]
