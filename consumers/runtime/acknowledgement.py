"""Completion: tells the server what became of messages, many in one round trip, until it has heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import group_missing, insist, passes
from consumers.runtime.leases import Batch, Leases
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Call
from consumers.runtime.stage import Delivery

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Calls in one pipeline: the answers of a few thousand would keep the event loop busy for too long."""
WAITING = 2000
"""Finished messages that may wait for the server before handlers have to."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the server is to be told about one message.

    Attributes:
        final: the message was done; otherwise it has failed, and this is its retry or its dead letter.
        fallback: what to tell when the server refuses the call for good.
    """

    delivery: Delivery[Any]
    batch: Batch
    call: Call
    final: bool
    fallback: Call | None = None


class Acknowledger:
    """Args: failed: makes a retry or a dead letter of a message whose completion the server refuses."""

    def __init__(
        self,
        redis: Redis,
        leases: Leases,
        metrics: StageMetrics,
        failed: Callable[[Delivery[Any], Batch, Exception], Acknowledgement],
    ) -> None:
        self._redis = redis
        self._leases = leases
        self._metrics = metrics
        self._failed = failed
        self._waiting: list[Acknowledgement] = []
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._room.set()
        self._empty.set()

    def put(self, acknowledgements: list[Acknowledgement]) -> None:
        for acknowledgement in acknowledgements:
            self._leases.settle(acknowledgement.delivery.entry_id)
        self._waiting += acknowledgements
        if self._waiting:
            self._some.set()
            self._empty.clear()
        if len(self._waiting) >= WAITING:
            self._room.clear()

    async def room(self) -> None:
        """Waits while the server is too far behind."""
        await self._room.wait()

    async def flushed(self) -> None:
        """Waits until the server has been told everything."""
        await self._empty.wait()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            now, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            left = await insist("completing", self._flush, now)
            self._waiting = left + self._waiting
            if len(self._waiting) < WAITING:
                self._room.set()
            if not self._waiting:
                self._some.clear()
                self._empty.set()

    async def _flush(self, acknowledgements: list[Acknowledgement]) -> list[Acknowledgement]:
        """Returns what is still to be told. Telling twice is harmless: the second time nobody owns the entry.

        Raises:
            ResponseError: the server takes nothing at all for now, or its refusal is a bug.
        """
        answers = await scripts.run_all(
            self._redis, [acknowledgement.call for acknowledgement in acknowledgements]
        )
        left: list[Acknowledgement] = []
        away: ResponseError | None = None
        for acknowledgement, answer in zip(acknowledgements, answers, strict=True):
            if isinstance(answer, int):
                self._settled(acknowledgement, answer)
            elif group_missing(answer):
                self._settled(acknowledgement, scripts.LOST)
            elif passes(answer):
                away = answer
                left.append(acknowledgement)
            elif acknowledgement.final:
                log.error("completion refused", entry=acknowledgement.delivery.entry_id, error=str(answer))
                left.append(self._failed(acknowledgement.delivery, acknowledgement.batch, answer))
            elif acknowledgement.fallback is not None:
                log.error("burial refused", entry=acknowledgement.delivery.entry_id, error=str(answer))
                left.append(replace(acknowledgement, call=acknowledgement.fallback, fallback=None))
            else:
                raise answer
        if away is not None and left == acknowledgements:
            raise away
        return left

    def _settled(self, acknowledgement: Acknowledgement, answer: int) -> None:
        metrics = self._metrics
        if answer == scripts.LOST:
            metrics.leases_lost.inc()
            log.warning("lease lost", entry=acknowledgement.delivery.entry_id, doing="completing")
        elif acknowledgement.final:
            metrics.processed.inc()
            if answer == scripts.DUPLICATE:
                metrics.duplicates.inc()
            elif answer == scripts.DROPPED:
                metrics.dropped.inc()
        self._leases.release(acknowledgement.delivery.entry_id, acknowledgement.batch)
