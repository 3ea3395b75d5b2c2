"""Leases: what this worker holds, kept from others as long as it is worked on."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import group_missing, insist
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Delivery

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Entries renewed by one script call: it must not keep the server from others for long."""


@dataclass(eq=False, slots=True)
class Batch:
    """Messages that go to the handler together.

    Attributes:
        suspect: this delivery is alone, because earlier ones seem to have killed their workers.
        started: monotonic time at which the handler got it.
    """

    deliveries: list[Delivery[Any]]
    suspect: bool = False
    started: float | None = None
    task: asyncio.Task[None] | None = None


class Leases:
    """Renews the lease of every entry in the table, three times a lease, on a connection of its own."""

    def __init__(
        self, redis: Redis, owner: Owner, lease: float, max_run: float, metrics: StageMetrics
    ) -> None:
        self._redis = redis
        self._owner = owner
        self._lease = lease
        self._max_run = max_run
        self._metrics = metrics
        self._held: dict[str, Batch] = {}
        self._settling: set[str] = set()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, batch: Batch) -> None:
        """The newest delivery of an entry counts: what an older one of the same entry comes to is discarded."""
        for delivery in batch.deliveries:
            entry_id = delivery.entry_id
            if older := self._held.get(entry_id):
                self._settling.discard(entry_id)
                self._lose(entry_id, older)
            self._held[entry_id] = batch
        self._metrics.in_flight.set(len(self._held))

    def holds(self, entry_id: str, batch: Batch) -> bool:
        return self._held.get(entry_id) is batch

    def settle(self, entry_id: str) -> None:
        """The handler is done with it and the server is being told; its answer says who owned the entry."""
        self._settling.add(entry_id)

    def unsettled(self, entry_id: str, batch: Batch) -> bool:
        return self.holds(entry_id, batch) and entry_id not in self._settling

    def release(self, entry_id: str, batch: Batch) -> None:
        if self._held.get(entry_id) is batch:
            del self._held[entry_id]
            self._settling.discard(entry_id)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3 * random.uniform(0.8, 1.0))
            due = self._due()
            for start in range(0, len(due), AT_ONCE):
                chunk = dict(due[start : start + AT_ONCE])
                lost = await insist("renewing leases", self._renew, list(chunk))
                for entry_id in lost:
                    self._lose(entry_id, chunk[entry_id])
            self._metrics.in_flight.set(len(self._held))

    def _due(self) -> list[tuple[str, Batch]]:
        """All that is held but what a handler has had for too long; that is lost when nobody took it, either."""
        now, due = time.monotonic(), []
        for entry_id, batch in list(self._held.items()):
            running = 0.0 if batch.started is None else now - batch.started
            if running < self._max_run:
                due.append((entry_id, batch))
            elif running > self._max_run + self._lease:
                log.error("stuck", entry=entry_id, elapsed=round(running, 1))
                self._lose(entry_id, batch)
        return due

    async def _renew(self, entry_ids: list[str]) -> list[str]:
        try:
            lost = await scripts.run(self._redis, scripts.renew(self._owner, entry_ids))
        except ResponseError as error:
            if not group_missing(error):
                raise
            return entry_ids
        return [entry_id.decode() for entry_id in lost]

    def _lose(self, entry_id: str, batch: Batch) -> None:
        """The handler goes on for the rest of its batch; without any rest it is cancelled."""
        if self._held.get(entry_id) is not batch or entry_id in self._settling:
            return
        del self._held[entry_id]
        self._metrics.leases_lost.inc()
        log.warning("lease lost", entry=entry_id)
        if batch.task and not any(self.holds(d.entry_id, batch) for d in batch.deliveries):
            batch.task.cancel()
