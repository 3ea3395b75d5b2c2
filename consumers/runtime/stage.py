"""Stage: the interface between the runtime and a consumer group's work."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from schemas.envelope import Envelope
from schemas.store.fair_queue import Share
from schemas.store.run_data import HashFields

Body = TypeVar("Body")
Fields = Mapping[bytes, bytes]


class Retry(Exception):
    """Raised by a handler to retry the message later; counts as an attempt.

    Args:
        reason: what went wrong, for logs and dead letters.
        after: seconds until the retry; None: exponential backoff.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Reject(Exception):
    """Raised by a handler when a retry cannot succeed: the message becomes a dead letter at once.

    Args:
        reason: what is wrong, for logs and dead letters.
        foreign: the message does not belong to the job that it names, so `Stage.on_dead_letter` is not called.
    """

    def __init__(self, reason: str, *, foreign: bool = False) -> None:
        super().__init__(reason)
        self.foreign = foreign


class NotReady(Exception):
    """Raised by a handler that lacks something the message needs; does not count as an attempt.

    Args:
        after: seconds until the message is delivered again.
        reason: what is missing, for logs.
    """

    def __init__(self, after: float, reason: str = "not ready") -> None:
        super().__init__(reason)
        self.after = after


class LeaseLost(Exception):
    """Raised when another worker has claimed the message; the outcome of this worker is discarded."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; `schemas.envelope.seal` makes the fields.

    Attributes:
        share: how it waits for a stream that has a fair queue; None: it does not wait.
    """

    stream: str
    fields: Fields
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class FanIn:
    """Fan-in: a final message is published once all units of a job have an outcome.

    Attributes:
        record: key of a hash. Where it is missing, or has the field ``ended`` or another ``run``, work is dropped
            without effect.
        outcomes: key of a hash: unit → outcome. Its length is the progress.
        final_message: published once, when the number of units is known and as many have an outcome.
        run: run of the record that the work belongs to; empty: any.
    """

    record: str
    outcomes: str
    final_message: Outgoing
    run: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The effects of a handled message, applied atomically with its acknowledgement.

    Attributes:
        unit: unit whose outcome is recorded. If it has one already, the message is a duplicate without effect.
        outcome: bytes recorded for the unit.
        units: number of units of the job, or of one of its parts; None: not known from this message.
        publish: messages to publish.
        part: number of the part that `units` counts, from 0; None: `units` counts the whole job.
        parts: number of parts; the units of the job are known once every part has its number.

    Raises:
        ValueError: a field is set without the ones it depends on.
    """

    fan_in: FanIn | None = None
    unit: str | None = None
    outcome: bytes = b""
    units: int | None = None
    publish: tuple[Outgoing, ...] = ()
    part: int | None = None
    parts: int = 0

    def __post_init__(self) -> None:
        if self.fan_in is None and (self.unit is not None or self.units is not None):
            raise ValueError("unit and units require fan_in")
        if self.part is not None and (self.units is None or not 0 <= self.part < self.parts):
            raise ValueError("part requires units and must be in the range of parts")


Publish = Callable[
    [str, Sequence[Outgoing], str | None, str, Mapping[str, str | int], Sequence[HashFields]], Awaitable[bool]
]
"""Entry id, messages, record, run, fields of the record, fields of other hashes → whether the run goes on; raises
LeaseLost."""


@dataclass(slots=True)
class Delivery(Generic[Body]):
    """A message delivered to this worker.

    Attributes:
        entry_id: id of its stream entry.
        deliveries: delivery count of the entry, this delivery included.
        fields: the raw entry.
    """

    entry_id: str
    envelope: Envelope[Body]
    deliveries: int
    publisher: Publish = field(repr=False)
    fields: Fields = field(default_factory=dict, repr=False)

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1: counts retries and deliveries whose worker crashed."""
        return self.envelope.attempt + self.deliveries

    async def publish(
        self,
        messages: Sequence[Outgoing],
        record: str | None = None,
        fields: Mapping[str, str | int] = {},
        hashes: Sequence[HashFields] = (),
    ) -> bool:
        """Publishes messages before the handler is done, and sets fields of the record and of other hashes,
        atomically.

        Returns:
            False when the record's run is over; nothing was published.

        Raises:
            LeaseLost: another worker owns the message; nothing was published.
        """
        return await self.publisher(self.entry_id, messages, record, self.envelope.run, fields, hashes)


class Stage(Protocol):
    """One consumer group on one stream, and the handler of its messages.

    Attributes:
        name: label of metrics and logs.
        dead_stream: stream of its dead letters.
        delay_set: sorted set in which its failed messages wait for their retry.
        scan: hash with the state of the search for expired leases, while many entries are pending.
        linger: seconds to wait for a batch to fill once its first message is there.
        concurrency: maximum number of batches that are handled at the same time.
        max_run: seconds after which a handler counts as stuck and other workers may claim its messages.
        max_attempts: attempts before a message becomes a dead letter.
        fair: whether the stream has a fair queue (`schemas.store.fair_queue`).
    """

    name: str
    stream: str
    group: str
    dead_stream: str
    delay_set: str
    scan: str
    linger: float
    concurrency: int
    max_run: float
    max_attempts: int
    fair: bool

    @property
    def batch_size(self) -> int:
        """Maximum number of messages per call of the handler; may change while the stage runs."""
        ...

    @property
    def downstream(self) -> Sequence[tuple[str, int]]:
        """Streams and their high-water marks; reading pauses while one, with its fair queue, is longer than that."""
        ...

    def decode(self, entry_id: str, fields: Fields) -> Envelope[Any]:
        """Decodes the fields of an entry.

        Raises:
            EnvelopeError: the entry cannot be decoded; it becomes a dead letter.
        """
        ...

    async def start(self) -> None:
        """Loads what the handler needs."""
        ...

    async def stop(self) -> None:
        """Releases what `start` has loaded."""
        ...

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        """Returns one completion or error per message, in order. A raised exception counts for every message."""
        ...

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Returns the completion to apply, atomically, with the dead letter of a message."""
        ...
