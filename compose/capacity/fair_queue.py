"""The fair queue in front of a stream, as the simulation has it (``schemas/store/scripts/fair_queue.lua``)."""

import heapq
import itertools
from collections import defaultdict
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Queue in which callers take turns: start-time fair queueing.

    Args:
        credit: units of work by which a caller of whom nothing waits is ahead of others.

    Attributes:
        waiting: units of work that wait, by caller.
    """

    def __init__(self, credit: int = 1) -> None:
        self._credit = credit
        self._heap: list[tuple[float, int, int, str, T]] = []
        self._ends: dict[str, float] = {}
        self._now = 0.0
        self._counter = itertools.count()
        self.waiting: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, caller: str, item: T, units: int = 1) -> None:
        """Adds work of a caller."""
        credit = self._credit if self._heap else 0
        start = max(self._ends.get(caller, float("-inf")), self._now - credit)
        self._ends[caller] = start + units
        self.waiting[caller] += units
        heapq.heappush(self._heap, (start, next(self._counter), units, caller, item))

    def first(self) -> tuple[str, int]:
        """Returns the caller whose turn it is, and the units of its work."""
        _, _, units, caller, _ = self._heap[0]
        return caller, units

    def take(self) -> T:
        """Removes and returns the work of the caller whose turn it is."""
        start, _, units, caller, item = heapq.heappop(self._heap)
        self.waiting[caller] -= units
        self._now = max(self._now, start)
        if not self._heap:
            self._ends.clear()
            self._now = 0.0
        return item
