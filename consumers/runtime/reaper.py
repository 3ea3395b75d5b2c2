"""Reaper: removes idle consumers without pending entries, and updates the gauges of the stream."""

import asyncio
import random

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import retry_until_available
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Stage
from schemas.store import lua
from schemas.store.clock import server_time
from schemas.store.fair_queue import turns, waiting
from schemas.store.server_errors import group_missing

log = structlog.get_logger(__name__)

MAX_IDLE_LEASES = 4
"""Leases after which an idle consumer without pending entries is removed."""
MAX_INTERVAL_SECONDS = 5.0
"""Longest pause between two rounds: keeps the gauges fresh when the lease is long."""


class Reaper:
    """Periodic maintenance of one stream and its consumer group."""

    def __init__(self, redis: Redis, owner: Owner, stage: Stage, lease: float, metrics: StageMetrics) -> None:
        self._redis = redis
        self._owner = owner
        self._stage = stage
        self._lease = lease
        self._metrics = metrics

    async def run(self) -> None:
        """Repeats both duties until cancelled."""
        while True:
            try:
                await retry_until_available("measure the stream", self._update_gauges)
                removed = await retry_until_available("remove idle consumers", self._remove_idle)
            except ResponseError as error:
                if not group_missing(error) and "no such key" not in str(error):
                    raise
                removed = 0  # the reader creates the group
            if removed:
                self._metrics.consumers_reaped.inc(removed)
                log.info("consumers removed", stream=self._owner.stream, count=removed)
            await asyncio.sleep(min(MAX_INTERVAL_SECONDS, self._lease) * random.uniform(0.8, 1.2))

    async def _remove_idle(self) -> int:
        call = scripts.remove_idle(self._owner, self._lease * MAX_IDLE_LEASES)
        return int(await lua.run(self._redis, call))

    async def _update_gauges(self) -> None:
        """Lag is length minus pending: the stream has one group, and acknowledged entries are deleted. What waits in
        its fair queue counts too."""
        stream, group = self._owner.stream, self._owner.group
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(stream)
            pipe.xpending(stream, group)
            pipe.zcard(self._stage.delay_set)
            pipe.xrange(stream, "-", "+", 1)
            if self._stage.fair:
                pipe.zcard(waiting(stream))
                pipe.zcard(turns(stream))
            length, pending, delayed, first, *queue = await pipe.execute()
        queued, callers = queue or (0, 0)
        self._metrics.lag.set(length + queued - pending["pending"])
        self._metrics.callers.set(max(0, callers - 1))
        self._metrics.pending.set(pending["pending"])
        self._metrics.delayed.set(delayed)
        age = 0.0
        if first:
            age = await server_time(self._redis, stream) - int(first[0][0].partition(b"-")[0]) / 1000
        self._metrics.oldest.set(max(0.0, age))
