"""Reaper: removes consumers that are gone, and tells how long the stream is."""

import asyncio
import random
import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import group_missing, insist
from consumers.runtime.delay_set import delay_set_key
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner

log = structlog.get_logger(__name__)

IDLE_LEASES = 4
"""Leases after which a consumer without pending entries counts as gone."""


class Reaper:
    def __init__(self, redis: Redis, owner: Owner, lease: float, metrics: StageMetrics) -> None:
        self._redis = redis
        self._owner = owner
        self._lease = lease
        self._metrics = metrics

    async def run(self) -> None:
        while True:
            try:
                await insist("looking at the stream", self._look)
                removed = await insist("reaping consumers", self._reap)
            except ResponseError as error:
                if not group_missing(error) and "no such key" not in str(error):
                    raise
                removed = 0  # the reader creates the group
            if removed:
                self._metrics.consumers_reaped.inc(removed)
                log.info("consumers reaped", stream=self._owner.stream, count=removed)
            await asyncio.sleep(min(5.0, self._lease) * random.uniform(0.8, 1.2))

    async def _reap(self) -> int:
        call = scripts.reap(self._owner, self._lease * IDLE_LEASES)
        return int(await scripts.run(self._redis, call))

    async def _look(self) -> None:
        """With one group, and entries deleted when acknowledged, what is not pending is not delivered yet."""
        stream, group = self._owner.stream, self._owner.group
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(stream)
            pipe.xpending(stream, group)
            pipe.zcard(delay_set_key(stream))
            pipe.xrange(stream, "-", "+", 1)
            length, pending, waiting, first = await pipe.execute()
        self._metrics.lag.set(length - pending["pending"])
        self._metrics.pending.set(pending["pending"])
        self._metrics.delayed.set(waiting)
        since = int(first[0][0].partition(b"-")[0]) / 1000 if first else 0.0
        self._metrics.oldest.set(max(0.0, time.time() - since) if first else 0.0)
