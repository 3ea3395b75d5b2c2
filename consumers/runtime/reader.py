"""Reader: asks for new entries whenever a handler is free, and never for more than can start."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime.connection import ensure_group, group_missing, insist
from consumers.runtime.executor import BatchExecutor
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Stage

log = structlog.get_logger(__name__)

PAUSE = 0.1
"""Seconds between looks at a stream further down that is too long."""


class Reader:
    """Args:
    redis: connection for blocking reads alone.
    control: connection for everything else.
    block: seconds that a read waits on the server.
    """

    def __init__(
        self,
        redis: Redis,
        control: Redis,
        stage: Stage,
        owner: Owner,
        executor: BatchExecutor,
        block: float,
        metrics: StageMetrics,
    ) -> None:
        self._redis = redis
        self._control = control
        self._stage = stage
        self._owner = owner
        self._executor = executor
        self._block = block
        self._metrics = metrics
        self._missing = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._executor.wait_free()
            if stop.is_set() or not await self._room_downstream():
                continue
            try:
                entries = await insist("reading", self._read)
                self._missing = 0
            except ResponseError as error:
                if not group_missing(error):
                    raise
                await self._create_group()
                continue
            if entries:
                self._executor.accept([(entry_id.decode(), fields, 1) for entry_id, fields in entries])

    async def _read(self) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        """What there is for the free handlers; waits a moment for a first batch to fill."""
        size = self._stage.batch_size
        entries = await self._next(size * self._executor.free, self._block)
        if not self._stage.linger:
            return entries
        until = time.monotonic() + self._stage.linger
        while 0 < len(entries) < size and (left := until - time.monotonic()) > 0.001:
            entries += await self._next(size - len(entries), left)
        return entries

    async def _next(self, count: int, block: float) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        if count <= 0:
            return []
        answer = await self._redis.execute_command(  # type: ignore[no-untyped-call]
            "XREADGROUP", "GROUP", self._owner.group, self._owner.consumer,
            "COUNT", count, "BLOCK", max(1, int(block * 1000)), "STREAMS", self._owner.stream, ">",
        )  # fmt: skip
        return cast("list[Any]", answer)[0][1] if answer else []

    async def _room_downstream(self) -> bool:
        """Looks at the streams further down; waits a moment when one is too long."""
        if not self._stage.downstream:
            return True
        long = await insist("looking downstream", self._too_long)
        self._metrics.paused.set(long)
        if long:
            await asyncio.sleep(PAUSE * random.uniform(0.5, 1.0))
        return not long

    async def _too_long(self) -> bool:
        async with self._control.pipeline(transaction=False) as pipe:
            for stream, _ in self._stage.downstream:
                pipe.xlen(stream)
            lengths = await pipe.execute()
        return any(length > high for length, (_, high) in zip(lengths, self._stage.downstream, strict=True))

    async def _create_group(self) -> None:
        """After a flush or a failover that lost it. Reading from the beginning repeats work, and loses none."""
        await asyncio.sleep(min(2.0, 0.02 * 2 ** min(self._missing, 8)) * random.uniform(0.5, 1.0))
        self._missing += 1
        owner = self._owner
        if await insist("creating the group", ensure_group, self._control, owner.stream, owner.group):
            self._metrics.groups_created.inc()
            log.warning("group created", stream=owner.stream, group=owner.group)
