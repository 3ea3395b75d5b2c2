"""Waits for a condition instead of a time: a busy machine takes longer, a broken program fails the test."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

BOUND_SECONDS = 120.0
"""Guards against waiting for ever; says nothing about speed."""


def eventually(look: Callable[[], T | None], within: float = BOUND_SECONDS) -> T:
    """Returns what `look` returns as soon as that is true; fails the test after `within` seconds."""
    end = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {within} s"
        time.sleep(0.05)
    return seen


async def eventually_async(
    look: Callable[[], Awaitable[T | None] | T | None], within: float = BOUND_SECONDS
) -> T:
    """`eventually` beside a running event loop, for functions and coroutine functions."""
    end = time.monotonic() + within
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen
        assert time.monotonic() < end, f"not within {within} s"
        await asyncio.sleep(0.01)
