"""Acknowledgement: reports message outcomes to Redis in batches, retrying until acknowledged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import is_transient, retry_until_available
from consumers.runtime.leases import Batch, Leases
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.stage import Delivery
from schemas.store import lua
from schemas.store.lua import Call
from schemas.store.server_errors import group_missing

log = structlog.get_logger(__name__)

CALLS_PER_PIPELINE = 500
"""Script calls in one pipeline: parsing the replies of several thousand would block the event loop for too long."""
MAX_QUEUED_ACKNOWLEDGEMENTS = 2000
"""High-water mark of the queue: above it, handlers wait before they take the next batch."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The script call that ends one delivery.

    Attributes:
        completed: the handler succeeded; otherwise the call schedules a retry or adds a dead letter.
        fallback: call to make instead when the server permanently refuses `call`.
    """

    delivery: Delivery[Any]
    batch: Batch
    call: Call
    completed: bool
    fallback: Call | None = None


class Acknowledger:
    """Queue of acknowledgements, flushed in pipelines by one background task.

    Args:
        on_refused: makes the retry or the dead letter of a message whose completion the server refuses.
    """

    def __init__(
        self,
        redis: Redis,
        leases: Leases,
        metrics: StageMetrics,
        on_refused: Callable[[Delivery[Any], Batch, Exception], Acknowledgement],
    ) -> None:
        self._redis = redis
        self._leases = leases
        self._metrics = metrics
        self._on_refused = on_refused
        self._queue: list[Acknowledgement] = []
        self._not_empty = asyncio.Event()
        self._has_room = asyncio.Event()
        self._empty = asyncio.Event()
        self._has_room.set()
        self._empty.set()

    def put(self, acknowledgements: list[Acknowledgement]) -> None:
        """Queues acknowledgements, whatever the length of the queue."""
        for acknowledgement in acknowledgements:
            self._leases.mark_handled(acknowledgement.delivery.entry_id)
        self._queue += acknowledgements
        if self._queue:
            self._not_empty.set()
            self._empty.clear()
        if len(self._queue) >= MAX_QUEUED_ACKNOWLEDGEMENTS:
            self._has_room.clear()

    async def wait_for_room(self) -> None:
        """Waits while the queue is above its high-water mark."""
        await self._has_room.wait()

    async def wait_until_flushed(self) -> None:
        """Waits until Redis has confirmed every acknowledgement."""
        await self._empty.wait()

    async def run(self) -> None:
        """Flushes the queue until cancelled."""
        while True:
            await self._not_empty.wait()
            chunk, self._queue = self._queue[:CALLS_PER_PIPELINE], self._queue[CALLS_PER_PIPELINE:]
            unconfirmed = await retry_until_available("acknowledge", self._flush, chunk)
            self._queue = unconfirmed + self._queue
            if len(self._queue) < MAX_QUEUED_ACKNOWLEDGEMENTS:
                self._has_room.set()
            if not self._queue:
                self._not_empty.clear()
                self._empty.set()

    async def _flush(self, acknowledgements: list[Acknowledgement]) -> list[Acknowledgement]:
        """Makes the calls in one round trip; returns the ones to make next time.

        Idempotent: at a second call the entry has no owner any more, and the script changes nothing.

        Raises:
            ResponseError: the server accepts no call at the moment, or refuses a call that has no fallback: a bug.
        """
        replies = await lua.run_all(self._redis, [a.call for a in acknowledgements])
        unconfirmed: list[Acknowledgement] = []
        transient: ResponseError | None = None
        for acknowledgement, reply in zip(acknowledgements, replies, strict=True):
            if isinstance(reply, int):
                self._confirmed(acknowledgement, reply)
            elif group_missing(reply):
                self._confirmed(acknowledgement, scripts.LOST)
            elif is_transient(reply):
                transient = reply
                unconfirmed.append(acknowledgement)
            else:
                unconfirmed.append(self._alternative(acknowledgement, reply))
        if transient is not None and unconfirmed == acknowledgements:
            raise transient
        return unconfirmed

    def _alternative(self, refused: Acknowledgement, error: Exception) -> Acknowledgement:
        """Returns what to report instead of an acknowledgement that the server permanently refuses."""
        if refused.completed:
            log.error("completion refused", entry=refused.delivery.entry_id, error=str(error))
            return self._on_refused(refused.delivery, refused.batch, error)
        if refused.fallback is not None:
            log.error("dead letter refused", entry=refused.delivery.entry_id, error=str(error))
            return replace(refused, call=refused.fallback, fallback=None)
        raise error

    def _confirmed(self, acknowledgement: Acknowledgement, result: int) -> None:
        metrics = self._metrics
        if result == scripts.LOST:
            metrics.leases_lost.inc()
            log.warning("lease lost", entry=acknowledgement.delivery.entry_id, operation="acknowledge")
        elif acknowledgement.completed:
            metrics.processed.inc()
            if result == scripts.DUPLICATE:
                metrics.duplicates.inc()
            elif result == scripts.DROPPED:
                metrics.dropped.inc()
        self._leases.remove(acknowledgement.delivery.entry_id, acknowledgement.batch)
