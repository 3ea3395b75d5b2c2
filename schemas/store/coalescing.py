"""Coalesces requests to the server: those that arrive during a round trip go together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")

REQUESTS_PER_ROUND_TRIP = 256


class Coalescer(Generic[Request, Reply]):
    """Sends single requests in batches, one batch at a time.

    Args:
        send: returns the reply or the error of each request, in order; an exception it raises is the error of all.
    """

    def __init__(self, send: Callable[[Sequence[Request]], Awaitable[Sequence[Reply | Exception]]]) -> None:
        self._send = send
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Reply:
        """Returns the reply to a request, or raises its error."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, reply))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await reply

    async def _send_all(self) -> None:
        try:
            while batch := self._waiting[:REQUESTS_PER_ROUND_TRIP]:
                del self._waiting[:REQUESTS_PER_ROUND_TRIP]
                try:
                    replies = await self._send([request for request, _ in batch])
                except Exception as error:  # noqa: BLE001 - raised by every caller
                    replies = [error] * len(batch)
                for (_, future), reply in zip(batch, replies, strict=True):
                    if future.done():  # its caller was cancelled
                        continue
                    if isinstance(reply, Exception):
                        future.set_exception(reply)
                    else:
                        future.set_result(reply)
        finally:
            self._sending = None
