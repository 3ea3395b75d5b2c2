"""Leases: renews the lease of every entry that this worker owns, so that other workers do not claim it."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import retry_until_available
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Delivery
from schemas.store import lua
from schemas.store.server_errors import group_missing

log = structlog.get_logger(__name__)

RENEWALS_PER_CALL = 200
"""Entries that one script call renews: a script blocks the server for all other clients."""


@dataclass(eq=False, slots=True)
class Batch:
    """Deliveries that go to the handler together.

    Attributes:
        suspect: a single delivery that may crash its worker: earlier workers seem to have crashed on it.
        started: monotonic time at which the handler started; None before.
        task: runs the handler; None before.
    """

    deliveries: list[Delivery[Any]]
    suspect: bool = False
    started: float | None = None
    task: asyncio.Task[None] | None = None


class Leases:
    """Table of owned entries (entry id → batch), all renewed three times per lease.

    Args:
        redis: connection for renewals only, so that no other traffic delays them.
        lease: seconds after which other workers may claim an entry that was not renewed.
        max_run: seconds after which a running handler counts as stuck, and its entries are not renewed.
    """

    def __init__(
        self, redis: Redis, owner: Owner, lease: float, max_run: float, metrics: StageMetrics
    ) -> None:
        self._redis = redis
        self._owner = owner
        self._lease = lease
        self._max_run = max_run
        self._metrics = metrics
        self._batches: dict[str, Batch] = {}
        self._handled: set[str] = set()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch) -> None:
        """Adds the entries of a batch. An older delivery of the same entry loses it: its outcome is discarded."""
        for delivery in batch.deliveries:
            entry_id = delivery.entry_id
            if older := self._batches.get(entry_id):
                self._handled.discard(entry_id)
                self._lose(entry_id, older)
            self._batches[entry_id] = batch
        self._metrics.in_flight.set(len(self._batches))

    def owns(self, entry_id: str, batch: Batch) -> bool:
        """Reports whether the entry is owned through this batch."""
        return self._batches.get(entry_id) is batch

    def mark_handled(self, entry_id: str) -> None:
        """Notes that the acknowledgement is queued; from now on only its reply decides whether the lease was lost."""
        self._handled.add(entry_id)

    def unhandled(self, entry_id: str, batch: Batch) -> bool:
        """Reports whether the entry is owned through this batch, and no acknowledgement of it is queued."""
        return self.owns(entry_id, batch) and entry_id not in self._handled

    def remove(self, entry_id: str, batch: Batch) -> None:
        """Removes an entry, unless a newer batch has it."""
        if self._batches.get(entry_id) is batch:
            del self._batches[entry_id]
            self._handled.discard(entry_id)

    async def run(self) -> None:
        """Renews the leases until cancelled."""
        while True:
            await asyncio.sleep(self._lease / 3 * random.uniform(0.8, 1.0))
            due = self._due()
            for start in range(0, len(due), RENEWALS_PER_CALL):
                chunk = dict(due[start : start + RENEWALS_PER_CALL])
                lost = await retry_until_available("renew leases", self._renew, list(chunk))
                for entry_id in lost:
                    self._lose(entry_id, chunk[entry_id])
            self._metrics.in_flight.set(len(self._batches))

    def _due(self) -> list[tuple[str, Batch]]:
        """Returns the entries to renew: all but those of stuck handlers.

        A stuck handler loses its entries one lease later, even when no other worker has claimed them.
        """
        now, due = time.monotonic(), []
        for entry_id, batch in list(self._batches.items()):
            elapsed = 0.0 if batch.started is None else now - batch.started
            if elapsed < self._max_run:
                due.append((entry_id, batch))
            elif elapsed > self._max_run + self._lease:
                log.error("handler stuck", entry=entry_id, elapsed=round(elapsed, 1))
                self._lose(entry_id, batch)
        return due

    async def _renew(self, entry_ids: list[str]) -> list[str]:
        """Returns the ids of entries that this worker does not own any more."""
        try:
            lost = await lua.run(self._redis, scripts.renew(self._owner, entry_ids))
        except ResponseError as error:
            if not group_missing(error):
                raise
            return entry_ids
        return [entry_id.decode() for entry_id in lost]

    def _lose(self, entry_id: str, batch: Batch) -> None:
        """Discards an entry. The handler runs on for the rest of its batch; it is cancelled when nothing is left."""
        if self._batches.get(entry_id) is not batch or entry_id in self._handled:
            return
        del self._batches[entry_id]
        self._metrics.leases_lost.inc()
        log.warning("lease lost", entry=entry_id, operation="renew")
        if batch.task and not any(self.owns(d.entry_id, batch) for d in batch.deliveries):
            batch.task.cancel()
