"""Sweeper: a periodic duty that one of several processes has at a time."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from consumers.runtime import scripts
from consumers.runtime.connection import insist

log = structlog.get_logger(__name__)


class Sweeper:
    """Runs `sweep` every so many seconds, in the process that leads. The lead is a key with a time to live:
    a leader that dies is replaced, and one that is cut off may overlap with the next, so sweeping twice must
    do no harm.

    Args:
        name: the key is ``<name>:sweeper``.
        every: seconds.
    """

    def __init__(self, redis: Redis, name: str, every: float, sweep: Callable[[], Awaitable[None]]) -> None:
        self._redis = redis
        self._lock = f"{name}:sweeper"
        self._every = every
        self._sweep = sweep
        self._me = secrets.token_hex(8)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                if await insist("asking for the lead", self._lead):
                    await self._sweep_leading()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every):
                        await stop.wait()
        finally:
            with contextlib.suppress(RedisError, OSError):  # the server is away: the lead ends by itself
                await scripts.run(self._redis, scripts.resign(self._lock, self._me))

    async def _lead(self) -> bool:
        return bool(await scripts.run(self._redis, scripts.lead(self._lock, self._me, 3 * self._every)))

    async def _sweep_leading(self) -> None:
        """Keeps the lead while a sweep takes its time."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(self._every)
                await insist("keeping the lead", self._lead)

        keeping = asyncio.create_task(keep())
        try:
            await insist("sweeping", self._sweep)
        finally:
            keeping.cancel()
