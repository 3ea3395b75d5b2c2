"""Fair queues in front of streams, so that each caller gets its share of a stage (``scripts/fair_queue.lua``).

A caller is who submits a job: an API key, or the `tenant` of a request. While more waits than the workers of a stage
take, callers take turns, in proportion to their weights (FACES_SHARES).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from schemas.names import EXPRESS_FRAMES, JobKeys
from schemas.store.lua import Call, load, run

ROOM = load(__package__, "room")


class Share(NamedTuple):
    """How a message waits in a fair queue.

    Attributes:
        step: 1 / weight of the caller.
        credit: messages that a caller of whom nothing waited is ahead of others.
    """

    caller: str
    step: float
    credit: int = 1


FRAMES_CREDIT = EXPRESS_FRAMES
"""Credit of frames: a short job does not wait for its turns."""


def share_of(weights: Mapping[str, float], caller: str, credit: int = 1) -> Share:
    """Returns the share of a caller; one that has no weight of its own has 1."""
    return Share(caller, 1 / weights.get(caller, 1.0), credit)


def waiting(stream: str) -> str:
    """The sorted set in which messages wait for a stream."""
    return f"{stream}:waiting"


def turns(stream: str) -> str:
    """The sorted set of the callers of whom messages wait for a stream."""
    return f"{stream}:turns"


async def length(redis: Redis, stream: str) -> int:
    """Returns how many messages of a stream are outstanding, with those that wait for it."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.xlen(stream)
        pipe.zcard(waiting(stream))
        return sum(await pipe.execute())


class Room(NamedTuple):
    """What decides whether a job may have more frames under way.

    Attributes:
        run: of the job; empty when it is over.
        own, all: frames under way of the job, and of all jobs.
        waiting: frames of its caller that wait, at most.
        contended: whether a job of another caller waits for the workers that have this one.
    """

    run: str
    own: int
    all: int
    waiting: int
    contended: bool


async def room(
    redis: Redis, keys: JobKeys, source: str, frames: Sequence[str], share: Share, counters: Sequence[str]
) -> Room:
    """Reads what decides whether a job may have more frames under way.

    Args:
        source: stream that the job was read from.
        frames: streams of frames.
        counters: fields of the record whose sum is the number of samples of the job.
    """
    call = Call(ROOM, [keys.metadata, keys.outcomes, source, *frames], [*share, *counters])
    name, own, total, waits, contended = await run(redis, call)
    return Room(name.decode(), own, total, waits, bool(contended))
