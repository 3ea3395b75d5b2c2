"""Recovery: takes over what workers have let go of: their lease has run out."""

import asyncio
import contextlib
import random
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import group_missing, insist
from consumers.runtime.executor import SUSPICIOUS, BatchExecutor, Entry
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Fields, Stage

log = structlog.get_logger(__name__)

LOOK_AT = 200
"""Pending entries that one script call looks at."""
START = b"-"


class Recoverer:
    """Claims at most half of what could start, so that poison does not keep fresh work waiting."""

    def __init__(
        self,
        redis: Redis,
        stage: Stage,
        owner: Owner,
        lease: float,
        executor: BatchExecutor,
        metrics: StageMetrics,
    ) -> None:
        self._redis = redis
        self._stage = stage
        self._owner = owner
        self._lease = lease
        self._executor = executor
        self._metrics = metrics
        self._suspicious = max(2, min(SUSPICIOUS, stage.max_attempts))

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            suspects = await self._sweep(stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease / 3 * random.uniform(0.8, 1.2)):
                    await (self._executor.wait_unsuspicious() if suspects else stop.wait())

    async def _sweep(self, stop: asyncio.Event) -> int:
        """Once through all pending entries, as fast as handlers get free; returns how many suspects have to wait
        for the one that is running."""
        cursor, suspects = START, 0
        while not stop.is_set():
            await self._executor.wait_free()
            if stop.is_set():
                break
            try:
                cursor, entries, gone, waiting = await insist("recovering", self._claim, cursor)
            except ResponseError as error:
                if group_missing(error):
                    break  # the reader creates it
                raise
            suspects += waiting
            if gone:
                self._metrics.gone.inc(len(gone))
                log.error("entries gone", ids=[entry_id.decode() for entry_id in gone[:20]], count=len(gone))
            if entries:
                self._metrics.recovered.inc(len(entries))
                log.warning("recovered", stage=self._stage.name, messages=len(entries))
                self._executor.accept(entries)
            if cursor == START:
                break
        return suspects

    async def _claim(self, cursor: bytes) -> tuple[bytes, list[Entry], list[bytes], int]:
        call = scripts.recover(
            self._owner,
            self._lease,
            cursor,
            max(1, self._executor.free * self._stage.batch_size // 2),
            suspicious=self._suspicious,
            suspects=0 if self._executor.suspects else 1,
            look_at=LOOK_AT,
        )
        cursor, claimed, gone, waiting = await scripts.run(self._redis, call)
        return cursor, [(i.decode(), _fields(flat), count) for i, flat, count in claimed], gone, waiting


def _fields(flat: list[Any]) -> Fields:
    return dict(zip(flat[::2], flat[1::2], strict=True))
