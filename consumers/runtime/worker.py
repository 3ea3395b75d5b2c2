"""Worker: one stage's background roles, started together and ended in order."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence

import structlog
from redis.exceptions import RedisError

from consumers.runtime import scripts
from consumers.runtime.acknowledgement import Acknowledger
from consumers.runtime.connection import LONGEST_BLOCK, check_server, ensure_group, insist
from consumers.runtime.delay_set import Forwarder
from consumers.runtime.executor import BatchExecutor
from consumers.runtime.leases import Leases
from consumers.runtime.metrics import Metrics
from consumers.runtime.reader import Reader
from consumers.runtime.reaper import Reaper
from consumers.runtime.recovery import Recoverer
from consumers.runtime.retry_policy import RetryPolicy
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Outgoing, Stage
from consumers.runtime.tracing import Record
from schemas.store.connection import connect

log = structlog.get_logger(__name__)

NOBODY = "nobody"
"""Consumer that entries handed back belong to until another worker claims them."""
LONG_IDLE = 86400.0
"""Idle time, in seconds, of an entry handed back: above every lease."""
GOODBYE = 5.0
"""Seconds for each of the last words to a server that may be away."""


class Worker:
    """Takes the messages of a stage until told to stop. The stage has been started.

    Args:
        consumer: name in the group; no two live workers share one.
        lease: seconds after which what a dead worker held goes to others.
        trace: told of every message handled.
        backoff: seconds before the second attempt of a failed message.
        drain: seconds that handlers may take after `stop`; what is not done then is handed back.
    """

    def __init__(
        self,
        url: str,
        stage: Stage,
        *,
        consumer: str,
        lease: float = 30.0,
        metrics: Metrics | None = None,
        trace: Record | None = None,
        backoff: float = 1.0,
        drain: float = 25.0,
    ) -> None:
        self._url = url
        self._stage = stage
        self._owner = Owner(stage.stream, stage.group, consumer)
        self._lease = lease
        self._metrics = (metrics or Metrics()).stage(stage.name)
        self._trace = trace
        self._backoff = backoff
        self._drain = drain

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then drains.

        Raises:
            ServerError: the server cannot be used.
            ExceptionGroup: a background role has failed; what this worker held goes to others.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._read = await stack.enter_async_context(connect(self._url, waits=LONGEST_BLOCK))
            self._work = await stack.enter_async_context(connect(self._url))
            self._renew = await stack.enter_async_context(connect(self._url))
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        stage, owner, metrics = self._stage, self._owner, self._metrics
        await insist("greeting the server", self._work.ping)
        server = await check_server(self._work)
        await insist("creating the group", ensure_group, self._work, owner.stream, owner.group)
        log.info("works", stage=stage.name, consumer=owner.consumer, server=server)
        async with asyncio.TaskGroup() as roles:
            forwarder = Forwarder(self._work, stage.stream)
            policy = RetryPolicy(stage, owner, forwarder, self._backoff, metrics)
            leases = Leases(self._renew, owner, self._lease, stage.max_run, metrics)
            acknowledger = Acknowledger(self._work, leases, metrics, policy.failed)
            executor = BatchExecutor(
                stage, leases, acknowledger, policy, self._publish, metrics, self._trace, roles.create_task
            )
            block = min(LONGEST_BLOCK, self._lease / 3)
            reader = Reader(self._read, self._work, stage, owner, executor, block, metrics)
            recoverer = Recoverer(self._work, stage, owner, self._lease, executor, metrics)
            reaper = Reaper(self._work, owner, self._lease, metrics)
            intake = [roles.create_task(role.run(stop)) for role in (reader, recoverer)]
            others = [roles.create_task(role.run()) for role in (leases, acknowledger, forwarder, reaper)]
            await stop.wait()
            executor.close()
            await asyncio.wait(intake, timeout=LONGEST_BLOCK + 1)
            unfinished = await executor.drain(self._drain)
            await self._last_words("flush", acknowledger.flushed())
            await self._last_words("hand back", self._leave(unfinished))
            for task in (*intake, *others):
                task.cancel()
        log.info("stopped", stage=stage.name, consumer=owner.consumer, handed_back=len(unfinished))

    async def _publish(
        self,
        entry_id: str,
        messages: Sequence[Outgoing],
        record: str | None,
        fields: Mapping[str, str | int],
    ) -> bool:
        call = scripts.publish(self._owner, entry_id, messages, record, fields)
        return bool(await insist("publishing", scripts.run, self._work, call))

    async def _leave(self, unfinished: Sequence[str]) -> None:
        if unfinished:
            await scripts.run(self._work, scripts.hand_back(self._owner, NOBODY, LONG_IDLE, unfinished))
        await scripts.run(self._work, scripts.reap(self._owner, 0.0, only=self._owner.consumer))

    async def _last_words(self, what: str, call: Awaitable[None]) -> None:
        """The server may be away: its entries then go to others when their lease has run out."""
        try:
            async with asyncio.timeout(GOODBYE):
                await call
        except (TimeoutError, RedisError, OSError) as error:
            log.warning("left without a word", doing=what, error=str(error) or type(error).__name__)
