"""An event loop in a thread of its own, on which the blocking clients run the asyncio clients.

So they work beside a running event loop (in a notebook) and from several threads.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


class Loop:
    """Runs coroutines of the asyncio clients on a thread of its own, for callers that block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faces-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Item]) -> Item:
        """Returns what a coroutine returns."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, for example
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        """Yields what an asynchronous iterator yields."""

        async def following() -> list[Item]:
            async for item in items:
                return [item]
            return []

        while found := self.run(following()):
            yield found[0]

    def close(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
