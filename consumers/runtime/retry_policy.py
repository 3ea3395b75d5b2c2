"""What becomes of a message: done, tried again, or given up."""

import asyncio
from typing import Any

import msgspec
import structlog

from consumers.runtime import delay_set, scripts
from consumers.runtime.acknowledgement import Acknowledgement
from consumers.runtime.dead_letters import letter, replays_of
from consumers.runtime.leases import Batch
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Delivery, LeaseLost, NotReady, Reject, Retry, Stage

log = structlog.get_logger(__name__)


class RetryPolicy:
    """Args: backoff: seconds before the second attempt."""

    def __init__(
        self,
        stage: Stage,
        owner: Owner,
        forwarder: delay_set.Forwarder,
        backoff: float,
        metrics: StageMetrics,
    ) -> None:
        self._stage = stage
        self._owner = owner
        self._forwarder = forwarder
        self._backoff = backoff
        self._metrics = metrics

    def outcome(
        self, delivery: Delivery[Any], batch: Batch, outcome: Completion | Exception
    ) -> Acknowledgement | None:
        """None: another worker owns the message, so there is nothing to tell."""
        if isinstance(outcome, Completion):
            call = scripts.complete(self._owner, delivery.entry_id, outcome)
            return Acknowledgement(delivery, batch, call, final=True)
        if isinstance(outcome, LeaseLost):
            return None
        return self.failed(delivery, batch, outcome)

    def failed(self, delivery: Delivery[Any], batch: Batch, error: Exception) -> Acknowledgement:
        if isinstance(error, NotReady):
            return self._later(delivery, batch, error.after, delivery.attempt - 1, error)
        self._metrics.failed.inc()
        if isinstance(error, Reject) or delivery.attempt >= self._stage.max_attempts:
            return self.given_up(delivery, batch, str(error) or type(error).__name__, error)
        after = error.after if isinstance(error, Retry) else None
        if after is None:
            after = delay_set.backoff(delivery.attempt, self._backoff)
        return self._later(delivery, batch, after, delivery.attempt, error)

    def given_up(
        self, delivery: Delivery[Any], batch: Batch, reason: str, error: Exception | None = None
    ) -> Acknowledgement:
        self._log(delivery, "dead", reason=reason, error=error)
        try:
            completion = self._stage.on_dead_letter(delivery.envelope, reason)
        except Exception:  # the letter goes out all the same, and the job's deadline ends it
            log.exception("on_dead_letter failed", stage=self._stage.name, entry=delivery.entry_id)
            completion = Completion()
        return self._dead(delivery, batch, completion, reason, error)

    def undecodable(self, delivery: Delivery[Any], batch: Batch, error: Exception) -> Acknowledgement:
        """`delivery.envelope` is empty: nobody knows whose message this is."""
        log.error("dead", stage=self._stage.name, entry=delivery.entry_id, reason=str(error))
        return self._dead(delivery, batch, Completion(), f"cannot be decoded: {error}", error)

    def _dead(
        self,
        delivery: Delivery[Any],
        batch: Batch,
        completion: Completion,
        reason: str,
        error: Exception | None,
    ) -> Acknowledgement:
        self._metrics.dead.inc()
        dead = letter(
            self._stage.dead_stream,
            self._stage.name,
            self._owner,
            delivery.entry_id,
            delivery.fields,
            delivery.deliveries,
            delivery.envelope if delivery.envelope.type else None,
            reason,
            error,
            completion,
        )
        call = scripts.complete(self._owner, delivery.entry_id, completion, dead)
        alone = scripts.complete(self._owner, delivery.entry_id, Completion(), dead)
        return Acknowledgement(delivery, batch, call, final=False, fallback=alone)

    def _later(
        self, delivery: Delivery[Any], batch: Batch, after: float, attempt: int, error: Exception
    ) -> Acknowledgement:
        self._metrics.retried.inc()
        self._log(delivery, "retry", after=round(after, 2), attempt=attempt, error=error)
        message = msgspec.msgpack.encode(msgspec.structs.replace(delivery.envelope, attempt=attempt))
        asyncio.get_running_loop().call_later(after, self._forwarder.look)
        call = scripts.retry(
            self._owner,
            delay_set.delay_set_key(self._owner.stream),
            delivery.entry_id,
            after,
            replays_of(delivery.fields),
            message,
        )
        return Acknowledgement(delivery, batch, call, final=False)

    def _log(self, delivery: Delivery[Any], event: str, *, error: Exception | None, **more: Any) -> None:
        """Errors that a stage classified are told in a line; what nobody expected comes with its trace."""
        expected = error is None or isinstance(error, Retry | Reject | NotReady)
        log.warning(
            event,
            stage=self._stage.name,
            job=delivery.envelope.job,
            entry=delivery.entry_id,
            traceparent=delivery.envelope.traceparent,
            error=f"{type(error).__name__}: {error}" if error else None,
            exc_info=None if expected else error,
            **more,
        )
