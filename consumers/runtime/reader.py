"""Reader: reads new entries of the stream whenever the executor has free slots."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime import scripts
from consumers.runtime.connection import ensure_group, retry_until_available
from consumers.runtime.executor import BatchExecutor
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Stage
from schemas.store import lua
from schemas.store.fair_queue import waiting
from schemas.store.lua import Call
from schemas.store.server_errors import error_text, group_missing

log = structlog.get_logger(__name__)

BACK_PRESSURE_PAUSE_SECONDS = 0.1
"""Wait before the lengths of the downstream streams are checked again."""


class Reader:
    """Reads as many entries as the executor can start now, and never more.

    Args:
        blocking: connection for blocking reads only.
        control: connection for everything else.
        block: seconds that a read waits for new entries.
    """

    def __init__(
        self,
        blocking: Redis,
        control: Redis,
        stage: Stage,
        owner: Owner,
        executor: BatchExecutor,
        block: float,
        metrics: StageMetrics,
    ) -> None:
        self._blocking = blocking
        self._control = control
        self._stage = stage
        self._owner = owner
        self._executor = executor
        self._block = block
        self._metrics = metrics
        self._failed_reads = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop` is set."""
        if self._stage.fair:  # the server has the script then
            await retry_until_available("release", lua.run, self._control, self._release(1))
        while not stop.is_set():
            await self._executor.wait_for_slot()
            if stop.is_set() or await self._back_pressure():
                continue
            try:
                entries = await retry_until_available("read entries", self._read)
                self._failed_reads = 0
            except ResponseError as error:
                if not group_missing(error):
                    raise
                await self._create_group()
                continue
            if entries:
                self._executor.accept([(entry_id.decode(), fields, 1) for entry_id, fields in entries])

    async def _read(self) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        """Reads entries for the free slots; waits up to `Stage.linger` seconds for one batch to fill."""
        size = self._stage.batch_size
        entries = await self._read_new(size * self._executor.free_slots, self._block)
        if not self._stage.linger:
            return entries
        deadline = time.monotonic() + self._stage.linger
        while 0 < len(entries) < size and (left := deadline - time.monotonic()) > 0.001:
            entries += await self._read_new(size - len(entries), left)
        return entries

    async def _read_new(self, count: int, block: float) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        if count <= 0:
            return []
        read = (
            "XREADGROUP", "GROUP", self._owner.group, self._owner.consumer,
            "COUNT", count, "BLOCK", max(1, int(block * 1000)), "STREAMS", self._owner.stream, ">",
        )  # fmt: skip
        async with self._blocking.pipeline(transaction=False) as pipe:
            if self._stage.fair:
                pipe.execute_command(*self._release(count).command())
            pipe.execute_command(*read)
            if self._stage.fair:
                pipe.execute_command(*self._release(1).command())  # wakes a worker that waits for entries
            replies = await pipe.execute(raise_on_error=False)
        reply = replies[len(replies) // 2]
        if isinstance(reply, Exception):
            raise reply
        entries = cast("list[Any]", reply)[0][1] if reply else []
        if failed := [released for released in replies if isinstance(released, Exception)]:
            log.warning("waiting messages not released", error=error_text(failed[0]))
            if not entries:
                await lua.run(self._control, self._release(1))
        return cast("list[tuple[bytes, Mapping[bytes, bytes]]]", entries)

    def _release(self, wanted: int) -> Call:
        """Moves messages whose turn it is from the fair queue of the stream to the stream."""
        return scripts.release_waiting(self._owner.stream, wanted)

    async def _back_pressure(self) -> bool:
        """Reports whether a downstream stream is above its high-water mark; waits a moment if so."""
        if not self._stage.downstream:
            return False
        above = await retry_until_available("check downstream streams", self._above_high_water)
        self._metrics.paused.set(above)
        if above:
            await asyncio.sleep(BACK_PRESSURE_PAUSE_SECONDS * random.uniform(0.5, 1.0))
        return above

    async def _above_high_water(self) -> bool:
        async with self._control.pipeline(transaction=False) as pipe:
            for stream, _ in self._stage.downstream:
                pipe.xlen(stream)
                pipe.zcard(waiting(stream))
            counts = await pipe.execute()
        marks = [high_water for _, high_water in self._stage.downstream]
        lengths = map(sum, zip(counts[::2], counts[1::2], strict=True))
        return any(length > mark for length, mark in zip(lengths, marks, strict=True))

    async def _create_group(self) -> None:
        """Creates the group after a flush, or a failover that lost it, with exponential backoff and jitter.

        The group reads from the beginning of the stream, which may repeat work, but loses none.
        """
        await asyncio.sleep(min(2.0, 0.02 * 2 ** min(self._failed_reads, 8)) * random.uniform(0.5, 1.0))
        self._failed_reads += 1
        owner = self._owner
        if await retry_until_available(
            "create the group", ensure_group, self._control, owner.stream, owner.group
        ):
            self._metrics.groups_created.inc()
            log.warning("group created", stream=owner.stream, group=owner.group)
