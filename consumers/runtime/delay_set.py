"""Retries: failed messages wait in a sorted set beside their stream and come back when they are due."""

import asyncio
import random

import structlog
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.connection import insist
from schemas.envelope import MSGPACK

log = structlog.get_logger(__name__)

LONGEST = 60.0
"""Seconds between two attempts at most."""
LOOK_EVERY = 1.0
"""Seconds after which retries that other workers have set are seen."""
AT_ONCE = 100


def delay_set_key(stream: str) -> str:
    """The sorted set in which messages wait for their retry."""
    return f"{stream}:delayed"


def backoff(attempt: int, first: float) -> float:
    """Seconds until the next attempt: doubling from `first`, less up to a half, so that what failed together
    does not come back together."""
    return min(LONGEST, first * 2.0 ** min(attempt - 1, 16)) * random.uniform(0.5, 1.0)


class Forwarder:
    """Puts messages that are due back on their stream."""

    def __init__(self, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._look = asyncio.Event()

    def look(self) -> None:
        """A retry was set: find out when it is due."""
        self._look.set()

    async def run(self) -> None:
        call = scripts.move(delay_set_key(self._stream), self._stream, MSGPACK, AT_ONCE)
        while True:
            self._look.clear()
            moved, wait_ms = await insist("moving retries", scripts.run, self._redis, call)
            if moved:
                log.debug("retries are due", messages=moved)
            if moved == AT_ONCE:
                continue
            wait = LOOK_EVERY if wait_ms < 0 else min(LOOK_EVERY, wait_ms / 1000)
            try:
                async with asyncio.timeout(max(wait, 0.001)):
                    await self._look.wait()
            except TimeoutError:
                pass
