"""Worker: runs the background roles of one stage and shuts them down in order."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence

import structlog
from redis.exceptions import RedisError

from consumers.runtime import scripts
from consumers.runtime.acknowledgement import Acknowledger
from consumers.runtime.connection import (
    MAX_BLOCK_SECONDS,
    check_server,
    ensure_group,
    retry_until_available,
)
from consumers.runtime.delay_set import Forwarder
from consumers.runtime.executor import BatchExecutor
from consumers.runtime.leases import Leases
from consumers.runtime.metrics import Metrics
from consumers.runtime.reader import Reader
from consumers.runtime.reaper import Reaper
from consumers.runtime.recovery import Recoverer
from consumers.runtime.retry_policy import RetryPolicy
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import LeaseLost, Outgoing, Stage
from consumers.runtime.tracing import RecordSpan
from schemas.store import lua
from schemas.store.connection import connect
from schemas.store.run_data import HashFields

log = structlog.get_logger(__name__)

UNOWNED = "nobody"
"""Name of the consumer that owns released entries until a worker claims them."""
RELEASED_IDLE_SECONDS = 86400.0
"""Idle time given to released entries: longer than every lease, so that they can be claimed at once."""
SHUTDOWN_CALL_SECONDS = 5.0
"""Time limit of each of the last calls to a server that may be unavailable."""

DRAIN_SECONDS = 10.0
"""Time that running handlers have to finish when the worker stops. What takes longer, such as sampling a film, goes
on in another worker. Supervisors kill a worker that does not stop; they have to wait for longer than this."""


class Worker:
    """Consumes the messages of one stage. The stage has been started.

    Args:
        consumer: name in the consumer group; must be unique among live workers.
        lease: seconds after which other workers may claim the entries of a worker that has crashed.
        record_span: is called after every message handled.
        first_backoff: seconds before the second attempt of a failed message.
        drain: seconds that running handlers have to finish after `stop`; then their entries are released.
    """

    def __init__(
        self,
        url: str,
        stage: Stage,
        *,
        consumer: str,
        lease: float = 30.0,
        metrics: Metrics | None = None,
        record_span: RecordSpan | None = None,
        first_backoff: float = 1.0,
        drain: float = DRAIN_SECONDS,
    ) -> None:
        self._url = url
        self._stage = stage
        self._owner = Owner(stage.stream, stage.group, consumer)
        self._lease = lease
        self._metrics = (metrics or Metrics()).stage(stage.name)
        self._record_span = record_span
        self._first_backoff = first_backoff
        self._drain = drain

    async def run(self, stop: asyncio.Event) -> None:
        """Consumes until `stop` is set, then drains.

        Raises:
            ServerError: the server cannot be used.
            ExceptionGroup: a background role has failed; other workers claim the entries when the lease expires.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._blocking = await stack.enter_async_context(connect(self._url, waits=MAX_BLOCK_SECONDS))
            self._control = await stack.enter_async_context(connect(self._url))
            self._renewals = await stack.enter_async_context(connect(self._url))
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        stage, owner, metrics, control = self._stage, self._owner, self._metrics, self._control
        await retry_until_available("ping the server", control.ping)
        server = await check_server(control, known=True)
        await retry_until_available("create the group", ensure_group, control, owner.stream, owner.group)
        log.info("worker started", stage=stage.name, consumer=owner.consumer, server=server)
        async with asyncio.TaskGroup() as roles:
            forwarder = Forwarder(control, stage.stream, stage.delay_set)
            policy = RetryPolicy(stage, owner, forwarder, self._first_backoff, metrics)
            leases = Leases(self._renewals, owner, self._lease, stage.max_run, metrics)
            acknowledger = Acknowledger(control, leases, metrics, policy.on_error)
            executor = BatchExecutor(
                stage,
                leases,
                acknowledger,
                policy,
                self._publish,
                metrics,
                self._record_span,
                roles.create_task,
            )
            block = min(MAX_BLOCK_SECONDS, self._lease / 3)
            reader = Reader(self._blocking, control, stage, owner, executor, block, metrics)
            recoverer = Recoverer(control, stage, owner, self._lease, executor, metrics)
            reaper = Reaper(control, owner, stage, self._lease, metrics)
            intake = [roles.create_task(role.run(stop)) for role in (reader, recoverer)]
            others = [roles.create_task(role.run()) for role in (leases, acknowledger, forwarder, reaper)]
            await stop.wait()
            executor.close()
            await asyncio.wait(intake, timeout=MAX_BLOCK_SECONDS + 1)
            unhandled = await executor.drain(self._drain)
            await self._try_briefly("flush acknowledgements", acknowledger.wait_until_flushed())
            await self._try_briefly("leave the group", self._leave_group(unhandled))
            for task in (*intake, *others):
                task.cancel()
        log.info("worker stopped", stage=stage.name, consumer=owner.consumer, released=len(unhandled))

    async def _publish(
        self,
        entry_id: str,
        messages: Sequence[Outgoing],
        record: str | None,
        run: str,
        fields: Mapping[str, str | int],
        hashes: Sequence[HashFields],
    ) -> bool:
        call = scripts.publish(self._owner, entry_id, messages, record, run, fields, hashes)
        reply = await retry_until_available("publish", lua.run, self._control, call)
        if reply == scripts.LOST:
            raise LeaseLost(entry_id)
        return bool(reply == scripts.DONE)

    async def _leave_group(self, unhandled: Sequence[str]) -> None:
        """Releases entries so that others can claim them at once, and removes the consumer."""
        if unhandled:
            call = scripts.release(self._owner, UNOWNED, RELEASED_IDLE_SECONDS, unhandled)
            await lua.run(self._control, call)
        await lua.run(self._control, scripts.remove_idle(self._owner, 0.0, only=self._owner.consumer))

    async def _try_briefly(self, operation: str, call: Awaitable[None]) -> None:
        """Awaits a last call. Should it fail, other workers claim the entries when their lease expires."""
        try:
            async with asyncio.timeout(SHUTDOWN_CALL_SECONDS):
                await call
        except (TimeoutError, RedisError, OSError) as error:
            log.warning("shutdown step failed", operation=operation, error=str(error) or type(error).__name__)
