"""Delay set: a sorted set beside each stream, in which failed messages wait for their retry."""

import asyncio
import contextlib

import structlog
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.connection import retry_until_available
from schemas.envelope import MSGPACK
from schemas.store import lua

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Longest wait between two looks at the delay set, to which other workers add retries too."""
MESSAGES_PER_MOVE = 100
"""Messages that one script call moves: a script blocks the server for all other clients."""


class Forwarder:
    """Moves messages that are due from the delay set back to their stream.

    Args:
        delay_set: key of the sorted set: message → Unix time in milliseconds at which it is due.
    """

    def __init__(self, redis: Redis, stream: str, delay_set: str) -> None:
        self._redis = redis
        self._stream = stream
        self._delay_set = delay_set
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Looks at the delay set now, because a retry is due or was scheduled."""
        self._wake.set()

    async def run(self) -> None:
        """Moves messages until cancelled."""
        call = scripts.move_due(self._delay_set, self._stream, MSGPACK, MESSAGES_PER_MOVE)
        while True:
            self._wake.clear()
            moved, due_in_ms = await retry_until_available("move due retries", lua.run, self._redis, call)
            if moved:
                log.debug("retries moved", messages=moved)
            if moved == MESSAGES_PER_MOVE:
                continue
            wait = POLL_SECONDS if due_in_ms < 0 else min(POLL_SECONDS, due_in_ms / 1000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0.001)):
                    await self._wake.wait()
