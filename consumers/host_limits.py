"""Limits on the requests in flight to each host, so that a receiver that hangs takes few slots from the others."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from consumers.runtime.stage import NotReady

MAX_HOSTS = 1024
"""Hosts whose state is kept; the least recently used one is dropped first."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 30.0
"""Bounds of the time until a request that got no slot is tried again."""


class HostLimits:
    """Slots for requests, shared by all hosts.

    A quick host may have a quarter of the slots. A slow or unknown one may have one slot, and all of these together
    half of the slots: the other half serves quick hosts only. Requests beyond that do not wait here, where they would
    take a slot of the stage; they are delivered again one after the other, at the pace of their host.

    Args:
        slots: requests that the stage may have in flight.
        quick_seconds: a host whose last request ended within this time is quick.
    """

    def __init__(self, slots: int, quick_seconds: float) -> None:
        self._quick_seconds = quick_seconds
        self._quick_limit = max(1, slots // 4)
        self._slow_limit = max(1, slots // 2)
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Holds a slot for a request to a host.

        Raises:
            NotReady: the host has no free slot; states when to try again.
        """
        host = self._hosts[name] = self._hosts.pop(name) if name in self._hosts else _Host()
        self._drop_unused()
        quick = self._is_quick(host)
        limit = self._quick_limit if quick else 1
        slow = sum(len(other.started) for other in self._hosts.values() if not self._is_quick(other))
        if len(host.started) >= limit or (not quick and slow >= self._slow_limit):
            raise NotReady(host.pause(limit), f"{name} has no free slot for webhooks")
        start = time.monotonic()
        host.started.append(start)
        try:
            yield
        finally:
            host.started.remove(start)
            host.seconds = time.monotonic() - start

    def _is_quick(self, host: "_Host") -> bool:
        return host.seconds is not None and host.seconds <= self._quick_seconds

    def _drop_unused(self) -> None:
        unused = [name for name, host in self._hosts.items() if not host.started]
        for name in unused[: max(0, len(self._hosts) - MAX_HOSTS)]:
            del self._hosts[name]


class _Host:
    """The requests of one host.

    Attributes:
        started: times at which the requests in flight started.
        seconds: duration of the last request; None before the first one has ended.
    """

    def __init__(self) -> None:
        self.started: list[float] = []
        self.seconds: float | None = None
        self._next_turn = 0.0

    def pause(self, slots: int) -> float:
        """Returns the seconds until a further request may find a slot, and takes that turn."""
        now = time.monotonic()
        lasts = max([self.seconds or 0.0, *(now - start for start in self.started)])
        pace = max(FIRST_PAUSE_SECONDS, lasts / slots)
        self._next_turn = min(max(self._next_turn, now) + pace, now + MAX_PAUSE_SECONDS)
        return self._next_turn - now
