"""Batch executor: runs the handler of a stage on batches of deliveries, a bounded number at a time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from consumers.runtime.acknowledgement import Acknowledger
from consumers.runtime.leases import Batch, Leases
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.retry_policy import RetryPolicy
from consumers.runtime.stage import Completion, Delivery, Fields, Publish, Stage
from consumers.runtime.tracing import Record
from schemas.envelope import Envelope

log = structlog.get_logger(__name__)

SUSPICIOUS = 3
"""Deliveries from which an entry is handled alone: twice a worker has died with it in its hands."""

Entry = tuple[str, Fields, int]
"""Id, fields, deliveries."""
Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
_UNREADABLE: Envelope[Any] = Envelope(id="", job="", type="", body=None)


class BatchExecutor:
    """Args: start: makes a task whose errors end the worker."""

    def __init__(
        self,
        stage: Stage,
        leases: Leases,
        acknowledger: Acknowledger,
        policy: RetryPolicy,
        publish: Publish,
        metrics: StageMetrics,
        trace: Record | None,
        start: Start,
    ) -> None:
        self._stage = stage
        self._leases = leases
        self._acknowledger = acknowledger
        self._policy = policy
        self._publish = publish
        self._metrics = metrics
        self._trace = trace
        self._start = start
        self._ready: deque[Batch] = deque()
        self._running: set[Batch] = set()
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def free(self) -> int:
        """Batches that could start now."""
        return max(0, self._stage.concurrency - len(self._running) - len(self._ready))

    @property
    def suspects(self) -> int:
        return sum(batch.suspect for batch in (*self._running, *self._ready))

    async def wait_free(self) -> None:
        """Returns when a batch could start, or none ever will."""
        while not self.free and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def wait_unsuspicious(self) -> None:
        """Returns when no suspect is running, or none ever will."""
        while self.suspects and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def accept(self, entries: Sequence[Entry]) -> None:
        """Takes over entries that the server has just delivered to this worker."""
        together: list[Delivery[Any]] = []
        for entry_id, fields, deliveries in entries:
            delivery = Delivery(entry_id, _UNREADABLE, deliveries, self._publish, fields)
            try:
                delivery.envelope = self._stage.decode(entry_id, fields)
            except Exception as error:  # noqa: BLE001 - becomes a dead letter, whatever it is
                batch = self._hold([delivery])
                self._acknowledger.put([self._policy.undecodable(delivery, batch, error)])
                continue
            if delivery.attempt > self._stage.max_attempts:
                reason = f"delivered {deliveries} times, and each time its worker died or was stuck with it"
                batch = self._hold([delivery])
                self._acknowledger.put([self._policy.given_up(delivery, batch, reason)])
            elif deliveries >= SUSPICIOUS or 1 < delivery.attempt == self._stage.max_attempts:
                self._ready.append(self._hold([delivery], suspect=deliveries > 1))
            else:
                together.append(delivery)
        size = self._stage.batch_size
        for start in range(0, len(together), size):
            self._ready.append(self._hold(together[start : start + size]))
        self._fill()

    def close(self) -> None:
        """Starts nothing more."""
        self._closed = True
        self._changed.set()

    async def drain(self, seconds: float) -> list[str]:
        """Waits for running handlers; returns the entries that are not worked on then."""
        tasks = [batch.task for batch in self._running if batch.task]
        batches = [*self._running, *self._ready]
        self._ready.clear()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                log.warning("handlers interrupted", batches=len(late), after=seconds)
                await asyncio.wait(late, timeout=1.0)
        return [
            delivery.entry_id
            for batch in batches
            for delivery in batch.deliveries
            if self._leases.unsettled(delivery.entry_id, batch)
        ]

    def _hold(self, deliveries: list[Delivery[Any]], *, suspect: bool = False) -> Batch:
        batch = Batch(deliveries, suspect)
        self._leases.hold(batch)
        return batch

    def _fill(self) -> None:
        while self._ready and not self._closed and len(self._running) < self._stage.concurrency:
            batch = self._ready.popleft()
            self._running.add(batch)
            batch.task = self._start(self._run(batch))

    async def _run(self, batch: Batch) -> None:
        try:
            held = [d for d in batch.deliveries if self._leases.holds(d.entry_id, batch)]
            if held:
                await self._handle(batch, held)
                await self._acknowledger.room()
        finally:
            self._running.discard(batch)
            self._fill()
            self._changed.set()

    async def _handle(self, batch: Batch, deliveries: list[Delivery[Any]]) -> None:
        batch.started = began = time.monotonic()
        bind_contextvars(stage=self._stage.name)
        if len(deliveries) == 1:
            envelope = deliveries[0].envelope
            bind_contextvars(job=envelope.job, entry=deliveries[0].entry_id, traceparent=envelope.traceparent)
        log.debug("start", messages=len(deliveries), attempt=deliveries[0].attempt)
        try:
            outcomes = _checked(await self._stage.handle(deliveries), len(deliveries))
        except Exception as error:  # noqa: BLE001 - every message's error; reported with its retry or letter
            outcomes = [error] * len(deliveries)
        elapsed = time.monotonic() - began
        self._metrics.seconds.observe(elapsed)
        self._metrics.batch.observe(len(deliveries))
        log.debug("done", messages=len(deliveries), elapsed=round(elapsed, 3))
        acknowledgements = []
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if self._trace is not None:
                failure = outcome if isinstance(outcome, Exception) else None
                self._trace(self._stage.name, delivery, elapsed, failure)
            if self._leases.holds(delivery.entry_id, batch):
                acknowledgement = self._policy.outcome(delivery, batch, outcome)
                if acknowledgement is None:
                    self._leases.release(delivery.entry_id, batch)
                else:
                    acknowledgements.append(acknowledgement)
        self._acknowledger.put(acknowledgements)


def _checked(outcomes: Sequence[Completion | Exception], wanted: int) -> Sequence[Completion | Exception]:
    if len(outcomes) != wanted or not all(isinstance(o, Completion | Exception) for o in outcomes):
        raise TypeError(f"a handler returns one completion or error for each of {wanted} messages")
    return outcomes
