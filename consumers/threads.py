"""Blocking calls in threads. A call whose task is cancelled is stopped and waited for, so that nobody closes a source
while a thread decodes it."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from facecore.stopping import STOP

S = TypeVar("S")
T = TypeVar("T")


async def map_in_threads(
    pool: ThreadPoolExecutor, threads: int, call: Callable[[S], T], items: Sequence[S]
) -> list[T]:
    """Returns what a call makes of each item, in order. Each thread is given its share at once: handing one item to a
    thread costs more than short calls take."""
    loop = asyncio.get_running_loop()
    shares = [items[first::threads] for first in range(min(threads, len(items)))]
    found = await asyncio.gather(
        *(loop.run_in_executor(pool, lambda share: [call(item) for item in share], share) for share in shares)
    )
    return [found[i % threads][i // threads] for i in range(len(items))]


async def in_thread(pool: ThreadPoolExecutor, call: Callable[..., T], *args: object) -> T:
    """Runs a call in a thread of the pool, in the context of the task.

    When the task is cancelled, the call is stopped (`facecore.stopping`); the task is cancelled once it has
    ended.
    """
    stop, context = threading.Event(), copy_context()
    context.run(STOP.set, stop)
    running = pool.submit(context.run, call, *args)
    ended = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop.set()
        running.cancel()  # it may not have started
        while not ended.done():
            try:
                await asyncio.wait([ended])
            except (
                asyncio.CancelledError
            ):  # cancelled again: the call is still to end before its source is closed
                continue
        if not ended.cancelled():
            ended.exception()  # not needed any more
        raise
