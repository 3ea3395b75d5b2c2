"""Coalesces requests to the server: those that arrive during a round trip go together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

AT_ONCE = 256


class Coalescer(Generic[Asked, Answer]):
    """Args:
    ask: answers, or the error of each, in the order of the questions; what it raises is every asker's error.
    """

    def __init__(self, ask: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def _ask_all(self) -> None:
        try:
            while waiting := self._waiting[:AT_ONCE]:
                del self._waiting[:AT_ONCE]
                try:
                    answers = await self._ask([asked for asked, _ in waiting])
                except Exception as error:  # noqa: BLE001 - raised by each of the askers
                    answers = [error] * len(waiting)
                for (_, asker), answer in zip(waiting, answers, strict=True):
                    if asker.done():  # it has gone
                        continue
                    if isinstance(answer, Exception):
                        asker.set_exception(answer)
                    else:
                        asker.set_result(answer)
        finally:
            self._asking = None
