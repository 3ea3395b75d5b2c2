"""Stops long work at safe points, between two packets of a film or two steps of a clustering, on request of another
thread."""

import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)
"""Event that stops the work of the present context, once it is set."""


class Stopped(Exception):
    """The work was stopped: nobody needs its result."""


def raise_if_stopped() -> None:
    """Raises Stopped when the work of the present context is to stop."""
    if (stop := STOP.get()) is not None and stop.is_set():
        raise Stopped


def stoppable(items: Iterable[T]) -> Iterator[T]:
    """Yields the items until the work is to stop."""
    for item in items:
        raise_if_stopped()
        yield item
