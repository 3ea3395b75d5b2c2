"""Recovery: claims pending entries whose lease has expired."""

import asyncio
import contextlib
import random
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import MAX_RETRY_PAUSE_SECONDS, is_transient, retry_until_available
from consumers.runtime.executor import SUSPECT_DELIVERIES, BatchExecutor, Entry
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Fields, Stage
from schemas.store import lua
from schemas.store.server_errors import group_missing

log = structlog.get_logger(__name__)

ENTRIES_PER_SCAN = 200
"""Pending entries that one script call looks at: a script blocks the server for all other clients."""
CLAIMS_PER_CALL = 100
"""Entries that one script call claims at most, for the same reason."""
MAX_LOGGED_IDS = 20
FIRST_CURSOR = b"-"


class Recoverer:
    """Claims expired entries for at most half of the free slots, so that messages that crash workers cannot keep new
    messages waiting."""

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
        self._suspect_deliveries = max(2, min(SUSPECT_DELIVERIES, stage.max_attempts))

    async def run(self, stop: asyncio.Event) -> None:
        """Scans the pending entries three times per lease until `stop` is set."""
        while not stop.is_set():
            suspects_left = await self._scan(stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease / 3 * random.uniform(0.8, 1.2)):
                    await (self._executor.wait_for_suspects() if suspects_left else stop.wait())

    async def _scan(self, stop: asyncio.Event) -> int:
        """Goes once through all pending entries, as fast as slots become free.

        Returns:
            How many suspect entries were not claimed: only one of them runs at a time.
        """
        cursor, suspects_left = FIRST_CURSOR, 0
        while not stop.is_set():
            await self._executor.wait_for_slot()
            if stop.is_set():
                break
            try:
                cursor, entries, deleted, skipped = await self._claim(cursor)
            except (RedisError, RedisClusterException, OSError) as error:
                if group_missing(error):
                    break  # the reader creates the group
                if not is_transient(error):
                    raise
                await self._wait_for_renewals()
                break
            suspects_left += skipped
            if deleted:
                self._metrics.deleted.inc(len(deleted))
                ids = [entry_id.decode() for entry_id in deleted[:MAX_LOGGED_IDS]]
                log.error("pending entries deleted", ids=ids, count=len(deleted))
            if entries:
                self._metrics.recovered.inc(len(entries))
                log.warning("entries recovered", stage=self._stage.name, messages=len(entries))
                self._executor.accept(entries)
            if cursor == FIRST_CURSOR:
                break
        return suspects_left

    async def _wait_for_renewals(self) -> None:
        """Waits until the server accepts writes, and then until the owners of entries could renew their leases.

        All leases expire in a long outage. Claiming at once what live workers still handle would count deliveries,
        as if they had crashed.
        """
        await retry_until_available("probe for writes", self._probe)
        await asyncio.sleep(self._lease / 3 + MAX_RETRY_PAUSE_SECONDS)

    async def _probe(self) -> None:
        """Claims an entry that does not exist: a write without effect."""
        owner = self._owner
        try:
            await self._redis.xclaim(owner.stream, owner.group, owner.consumer, 0, ["0-0"])
        except ResponseError as error:
            if not group_missing(error):
                raise

    async def _claim(self, cursor: bytes) -> tuple[bytes, list[Entry], list[bytes], int]:
        """Returns the next cursor, claimed entries, ids of deleted entries, number of suspects not claimed."""
        call = scripts.claim_expired(
            self._owner,
            self._stage.scan,
            self._lease,
            cursor,
            min(CLAIMS_PER_CALL, max(1, self._executor.free_slots * self._stage.batch_size // 2)),
            suspect_deliveries=self._suspect_deliveries,
            max_suspects=0 if self._executor.suspects else 1,
            max_scanned=ENTRIES_PER_SCAN,
        )
        cursor, claimed, deleted, skipped = await lua.run(self._redis, call)
        return cursor, [(i.decode(), _fields(flat), count) for i, flat, count in claimed], deleted, skipped


def _fields(flat: list[Any]) -> Fields:
    return dict(zip(flat[::2], flat[1::2], strict=True))
