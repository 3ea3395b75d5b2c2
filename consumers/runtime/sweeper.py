"""Sweeper: runs a periodic duty in one of several processes, chosen by leader election."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from consumers.runtime import scripts
from consumers.runtime.connection import retry_until_available
from schemas.store import lua

log = structlog.get_logger(__name__)


class Sweeper:
    """Calls `sweep` periodically in the process that holds the leader lock.

    The lock is a key that expires after three intervals without renewal, so a leader that crashes is replaced. A
    leader that lost its connection may overlap with the next one: `sweep` must be idempotent.

    Args:
        name: the lock is the key ``<name>:sweeper``.
        interval: seconds between two calls.
    """

    def __init__(
        self, redis: Redis, name: str, interval: float, sweep: Callable[[], Awaitable[None]]
    ) -> None:
        self._redis = redis
        self._lock = f"{name}:sweeper"
        self._interval = interval
        self._sweep = sweep
        self._candidate = secrets.token_hex(8)

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps, whenever this process is the leader, until `stop` is set; then releases the lock."""
        try:
            while not stop.is_set():
                if await retry_until_available("acquire the leader lock", self._acquire):
                    await self._sweep_as_leader()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await stop.wait()
        finally:
            with contextlib.suppress(RedisError, OSError):  # server unavailable: the lock expires
                await lua.run(self._redis, scripts.release_lock(self._lock, self._candidate))

    async def _acquire(self) -> bool:
        """Acquires or renews the leader lock."""
        call = scripts.acquire_lock(self._lock, self._candidate, 3 * self._interval)
        return bool(await lua.run(self._redis, call))

    async def _sweep_as_leader(self) -> None:
        """Calls `sweep`, and renews the lock as long as that takes."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._interval)
                await retry_until_available("renew the leader lock", self._acquire)

        renewal = asyncio.create_task(renew())
        try:
            await retry_until_available("sweep", self._sweep)
        finally:
            renewal.cancel()
