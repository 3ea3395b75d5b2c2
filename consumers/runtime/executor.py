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
from consumers.runtime.tracing import RecordSpan
from schemas.envelope import Envelope

log = structlog.get_logger(__name__)

SUSPECT_DELIVERIES = 3
"""From this delivery count on, an entry runs in its own batch: two workers may have crashed on it."""

Entry = tuple[str, Fields, int]
"""Entry id, fields, delivery count."""
StartTask = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
_NOT_DECODED: Envelope[Any] = Envelope(id="", job="", type="", body=None)


class BatchExecutor:
    """Forms batches of delivered entries, queues them, and runs up to `Stage.concurrency` of them at a time.

    Args:
        publish: publishes messages for a handler that is still running.
        record_span: is called after every message handled.
        start_task: starts a task whose error ends the worker.
    """

    def __init__(
        self,
        stage: Stage,
        leases: Leases,
        acknowledger: Acknowledger,
        policy: RetryPolicy,
        publish: Publish,
        metrics: StageMetrics,
        record_span: RecordSpan | None,
        start_task: StartTask,
    ) -> None:
        self._stage = stage
        self._leases = leases
        self._acknowledger = acknowledger
        self._policy = policy
        self._publish = publish
        self._metrics = metrics
        self._record_span = record_span
        self._start_task = start_task
        self._queue: deque[Batch] = deque()
        self._running: set[Batch] = set()
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def free_slots(self) -> int:
        """Number of batches that could start now."""
        return max(0, self._stage.concurrency - len(self._running) - len(self._queue))

    @property
    def suspects(self) -> int:
        """Number of suspect batches, running or queued."""
        return sum(batch.suspect for batch in (*self._running, *self._queue))

    async def wait_for_slot(self) -> None:
        """Waits until a batch could start, or the executor is closed."""
        while not self.free_slots and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def wait_for_suspects(self) -> None:
        """Waits until no suspect batch is running or queued, or the executor is closed."""
        while self.suspects and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def accept(self, entries: Sequence[Entry]) -> None:
        """Queues entries that Redis has just delivered to this worker.

        Entries that cannot be decoded, or have no attempts left, become dead letters.
        """
        normal: list[Delivery[Any]] = []
        for entry_id, fields, deliveries in entries:
            delivery = Delivery(entry_id, _NOT_DECODED, deliveries, self._publish, fields)
            try:
                delivery.envelope = self._stage.decode(entry_id, fields)
            except Exception as error:  # noqa: BLE001 - any error of the decoder makes a dead letter
                batch = self._batch([delivery])
                self._acknowledger.put([self._policy.undecodable(delivery, batch, error)])
                continue
            if delivery.attempt > self._stage.max_attempts:
                reason = f"delivered {deliveries} times, and each time its worker crashed or was stuck"
                batch = self._batch([delivery])
                self._acknowledger.put([self._policy.dead_letter(delivery, batch, reason)])
            elif deliveries >= SUSPECT_DELIVERIES or 1 < delivery.attempt == self._stage.max_attempts:
                self._queue.append(self._batch([delivery], suspect=deliveries > 1))
            else:
                normal.append(delivery)
        size = self._stage.batch_size
        for start in range(0, len(normal), size):
            self._queue.append(self._batch(normal[start : start + size]))
        self._start_queued()

    def close(self) -> None:
        """Starts no further batch."""
        self._closed = True
        self._changed.set()

    async def drain(self, seconds: float) -> list[str]:
        """Waits for running handlers, then cancels them; returns the ids of entries that were not handled."""
        tasks = [batch.task for batch in self._running if batch.task]
        batches = [*self._running, *self._queue]
        self._queue.clear()
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
            if self._leases.unhandled(delivery.entry_id, batch)
        ]

    def _batch(self, deliveries: list[Delivery[Any]], *, suspect: bool = False) -> Batch:
        batch = Batch(deliveries, suspect)
        self._leases.add(batch)
        return batch

    def _start_queued(self) -> None:
        while self._queue and not self._closed and len(self._running) < self._stage.concurrency:
            batch = self._queue.popleft()
            self._running.add(batch)
            batch.task = self._start_task(self._run(batch))

    async def _run(self, batch: Batch) -> None:
        try:
            owned = [d for d in batch.deliveries if self._leases.owns(d.entry_id, batch)]
            if owned:
                await self._handle(batch, owned)
                await self._acknowledger.wait_for_room()
        finally:
            self._running.discard(batch)
            self._start_queued()
            self._changed.set()

    async def _handle(self, batch: Batch, deliveries: list[Delivery[Any]]) -> None:
        batch.started = started = time.monotonic()
        bind_contextvars(stage=self._stage.name)
        if len(deliveries) == 1:
            envelope = deliveries[0].envelope
            bind_contextvars(job=envelope.job, entry=deliveries[0].entry_id, traceparent=envelope.traceparent)
        log.debug("batch started", messages=len(deliveries), attempt=deliveries[0].attempt)
        try:
            outcomes = _checked(await self._stage.handle(deliveries), len(deliveries))
        except Exception as error:  # noqa: BLE001 - the error of every message; logged with its retry or dead letter
            outcomes = [error] * len(deliveries)
        elapsed = time.monotonic() - started
        self._metrics.seconds.observe(elapsed)
        self._metrics.batch.observe(len(deliveries))
        log.debug("batch finished", messages=len(deliveries), elapsed=round(elapsed, 3))
        self._acknowledge(batch, deliveries, outcomes, elapsed)

    def _acknowledge(
        self,
        batch: Batch,
        deliveries: Sequence[Delivery[Any]],
        outcomes: Sequence[Completion | Exception],
        elapsed: float,
    ) -> None:
        acknowledgements = []
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if self._record_span is not None:
                error = outcome if isinstance(outcome, Exception) else None
                self._record_span(self._stage.name, delivery, elapsed, error)
            if self._leases.owns(delivery.entry_id, batch):
                acknowledgement = self._policy.acknowledge(delivery, batch, outcome)
                if acknowledgement is None:
                    self._leases.remove(delivery.entry_id, batch)
                else:
                    acknowledgements.append(acknowledgement)
        self._acknowledger.put(acknowledgements)


def _checked(outcomes: Sequence[Completion | Exception], count: int) -> Sequence[Completion | Exception]:
    if len(outcomes) != count or not all(isinstance(o, Completion | Exception) for o in outcomes):
        raise TypeError(f"the handler must return one Completion or exception for each of {count} messages")
    return outcomes
