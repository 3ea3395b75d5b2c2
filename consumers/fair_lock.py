"""Turns: one piece of work at a time; among lanes that wait, the one that was served longest ago comes next."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Within a lane, who came first is served first."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._served: defaultdict[str, int] = defaultdict(int)  # lane → number of its last turn
        self._turns = 0
        self._taken = False

    @asynccontextmanager
    async def turn(self, lane: str) -> AsyncIterator[None]:
        """Waits for a turn, and gives it back."""
        if self._taken:
            await self._wait(lane)
        self._taken = True
        self._turns += 1
        self._served[lane] = self._turns
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, lane: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given the turn, and does not take it
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """To the next who has not gone meanwhile."""
        for lane in sorted(self._waiting, key=lambda lane: self._served[lane]):
            while self._waiting[lane]:
                turn = self._waiting[lane].popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._taken = False
