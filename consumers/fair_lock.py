"""Fair lock: mutual exclusion with round-robin between lanes and first in, first out within a lane."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairLock:
    """Lock for one holder at a time that serves the least recently served lane first.

    Among lanes with waiters, the lock goes to the lane whose last turn is the longest ago (round-robin scheduling;
    https://en.wikipedia.org/wiki/Round-robin_scheduling). Within a lane it goes to the waiter that came first. So the
    first waiter of a lane waits for at most one turn of each other lane, however many waiters these have.
    """

    def __init__(self) -> None:
        self._waiters: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._last_turn: defaultdict[str, int] = defaultdict(int)  # lane → number of its last acquisition
        self._turns = 0
        self._locked = False

    @asynccontextmanager
    async def hold(self, lane: str) -> AsyncIterator[None]:
        """Acquires the lock for a lane, and releases it at the end of the block."""
        if self._locked:
            await self._wait(lane)
        self._locked = True
        self._turns += 1
        self._last_turn[lane] = self._turns
        try:
            yield
        finally:
            self._release()

    async def _wait(self, lane: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[lane].append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the lock had been handed to this waiter already
                self._release()
            raise

    def _release(self) -> None:
        """Hands the lock to the next waiter that has not been cancelled."""
        for lane in sorted(self._waiters, key=lambda lane: self._last_turn[lane]):
            while self._waiters[lane]:
                waiter = self._waiters[lane].popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._locked = False
