"""Retry policy: decides whether a message is completed, retried later, or becomes a dead letter."""

import asyncio
import random
from typing import Any

import msgspec
import structlog

from consumers.runtime import scripts
from consumers.runtime.acknowledgement import Acknowledgement
from consumers.runtime.dead_letters import created_at, dead_letter, replays_of
from consumers.runtime.delay_set import Forwarder
from consumers.runtime.leases import Batch
from consumers.runtime.metrics import StageMetrics
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Delivery, LeaseLost, NotReady, Reject, Retry, Stage
from schemas.envelope import entry_time
from schemas.store.server_errors import error_text, group_missing, is_unavailable

log = structlog.get_logger(__name__)

MAX_BACKOFF_SECONDS = 60.0
"""Upper bound of the delay between two attempts."""
UNAVAILABLE_RETRY_SECONDS = 2.0
"""Delay after the handler met an unavailable Redis server. The retry itself waits until the server accepts it."""
MAX_UNAVAILABLE_SECONDS = 86400.0
"""From this age on (at its latest delivery), a message uses up attempts also when the server was unavailable: none is
retried for ever."""


def backoff(attempt: int, first: float) -> float:
    """Returns the seconds until the next attempt: exponential backoff with jitter.

    The delay doubles from `first` with every attempt. The jitter subtracts up to a half, so that messages that
    failed together are not retried together.
    """
    return min(MAX_BACKOFF_SECONDS, first * 2.0 ** min(attempt - 1, 16)) * random.uniform(0.5, 1.0)


class RetryPolicy:
    """Maps the outcome of a handler to the acknowledgement of its message.

    Args:
        first_backoff: seconds before the second attempt.
    """

    def __init__(
        self, stage: Stage, owner: Owner, forwarder: Forwarder, first_backoff: float, metrics: StageMetrics
    ) -> None:
        self._stage = stage
        self._owner = owner
        self._forwarder = forwarder
        self._first_backoff = first_backoff
        self._metrics = metrics

    def acknowledge(
        self, delivery: Delivery[Any], batch: Batch, outcome: Completion | Exception
    ) -> Acknowledgement | None:
        """Returns the acknowledgement of a handled message; None when another worker owns the message."""
        if isinstance(outcome, Completion):
            call = scripts.complete(self._owner, delivery.entry_id, outcome)
            return Acknowledgement(delivery, batch, call, completed=True)
        if isinstance(outcome, LeaseLost):
            return None
        return self.on_error(delivery, batch, outcome)

    def on_error(self, delivery: Delivery[Any], batch: Batch, error: Exception) -> Acknowledgement:
        """Schedules a retry; without attempts left, or on `Reject`, makes a dead letter."""
        if isinstance(error, NotReady):
            return self._retry(delivery, batch, error.after, delivery.attempt - 1, error)
        age = entry_time(delivery.entry_id) - created_at(delivery)
        if _server_unavailable(error) and age < MAX_UNAVAILABLE_SECONDS:
            pause = UNAVAILABLE_RETRY_SECONDS * random.uniform(0.5, 1.0)
            return self._retry(delivery, batch, pause, delivery.attempt - 1, error)
        self._metrics.failed.inc()
        if isinstance(error, Reject) or delivery.attempt >= self._stage.max_attempts:
            return self.dead_letter(delivery, batch, error_text(error), error)
        after = error.after if isinstance(error, Retry) else None
        if after is None:
            after = backoff(delivery.attempt, self._first_backoff)
        return self._retry(delivery, batch, after, delivery.attempt, error)

    def dead_letter(
        self, delivery: Delivery[Any], batch: Batch, reason: str, error: Exception | None = None
    ) -> Acknowledgement:
        """Makes a dead letter of a message, along with the completion that its stage returns for it."""
        self._log(delivery, "message dead-lettered", reason=reason, error=error)
        if isinstance(error, Reject) and error.foreign:
            return self._dead_letter(delivery, batch, Completion(), reason, error)
        try:
            completion = self._stage.on_dead_letter(delivery.envelope, reason)
        except Exception:
            # The dead letter is added all the same; the deadline of the job fails it.
            log.exception("on_dead_letter failed", stage=self._stage.name, entry=delivery.entry_id)
            completion = Completion()
        return self._dead_letter(delivery, batch, completion, reason, error)

    def undecodable(self, delivery: Delivery[Any], batch: Batch, error: Exception) -> Acknowledgement:
        """Makes a dead letter of an entry that has no envelope, and so no known job."""
        log.error("message dead-lettered", stage=self._stage.name, entry=delivery.entry_id, reason=str(error))
        return self._dead_letter(delivery, batch, Completion(), f"cannot be decoded: {error}", error)

    def _dead_letter(
        self,
        delivery: Delivery[Any],
        batch: Batch,
        completion: Completion,
        reason: str,
        error: Exception | None,
    ) -> Acknowledgement:
        self._metrics.dead.inc()
        letter = dead_letter(self._stage, self._owner, delivery, reason, error, completion)
        call = scripts.complete(self._owner, delivery.entry_id, completion, letter)
        letter_only = scripts.complete(self._owner, delivery.entry_id, Completion(), letter)
        return Acknowledgement(delivery, batch, call, completed=False, fallback=letter_only)

    def _retry(
        self, delivery: Delivery[Any], batch: Batch, after: float, attempt: int, error: Exception
    ) -> Acknowledgement:
        self._metrics.retried.inc()
        self._log(delivery, "retry scheduled", after=round(after, 2), attempt=attempt, error=error)
        envelope = msgspec.structs.replace(delivery.envelope, attempt=attempt, created=created_at(delivery))
        message = msgspec.msgpack.encode(envelope)
        asyncio.get_running_loop().call_later(after, self._forwarder.wake)
        call = scripts.retry(
            self._owner,
            self._stage.delay_set,
            delivery.entry_id,
            after,
            replays_of(delivery.fields),
            message,
        )
        return Acknowledgement(delivery, batch, call, completed=False)

    def _log(self, delivery: Delivery[Any], event: str, *, error: Exception | None, **fields: Any) -> None:
        """Logs the error of a message; with a traceback, unless the stage has classified the error."""
        classified = (
            error is None or isinstance(error, Retry | Reject | NotReady) or _server_unavailable(error)
        )
        log.warning(
            event,
            stage=self._stage.name,
            job=delivery.envelope.job,
            entry=delivery.entry_id,
            traceparent=delivery.envelope.traceparent,
            error=f"{type(error).__name__}: {error_text(error)}" if error else None,
            exc_info=None if classified else error,
            **fields,
        )


def _server_unavailable(error: BaseException) -> bool:
    """Reports whether a handler failed only because the Redis server was unavailable, or had lost a group."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_server_unavailable, error.exceptions))
    return is_unavailable(error) or group_missing(error)
