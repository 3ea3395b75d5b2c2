"""What a stage is to the runtime: a source of messages, a handler, and what follows from each message."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from schemas.envelope import Envelope

Body = TypeVar("Body")
Fields = Mapping[bytes, bytes]


class Retry(Exception):
    """Try again later; counts as an attempt.

    Args:
        reason: what went wrong, for logs and dead letters.
        after: seconds until then; by default they double with each attempt.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Reject(Exception):
    """Trying again is pointless: the message becomes a dead letter now."""


class NotReady(Exception):
    """What the message needs is not there yet: come back after so many seconds. Does not count as an attempt."""

    def __init__(self, after: float, reason: str = "not ready") -> None:
        super().__init__(reason)
        self.after = after


class LeaseLost(Exception):
    """Another worker has taken the message over; nothing that this one does with it counts any more."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; the fields come from `schemas.envelope.seal`."""

    stream: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class FanIn:
    """Many units of work that one message follows, once all of them have an outcome.

    Attributes:
        record: key of a hash. Where it is missing, or has the field ``ended``, work is dropped without effect.
        outcomes: key of a hash: unit -> outcome. Its length is the progress.
        final_message: published once, when the number of units is known and as many have an outcome.
    """

    record: str
    outcomes: str
    final_message: Outgoing


@dataclass(frozen=True, slots=True)
class Completion:
    """What happens, atomically, when a message is done.

    Attributes:
        unit: its outcome is recorded, unless it has one: then the message has no effect.
        units: "so many units there are", which is now known: of all the work, or of a part of it.
        publish: messages that follow from this one.
        part, parts: the part whose units are told, once; the units of all ``parts`` add up when each has been told.
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
            raise ValueError("a unit or a number of units needs a fan_in that says of what")
        if self.part is not None and (self.units is None or not 0 <= self.part < self.parts):
            raise ValueError("a part needs its number of units and the number of parts")


Publish = Callable[[str, Sequence[Outgoing], str | None, Mapping[str, str | int]], Awaitable[bool]]


@dataclass(slots=True)
class Delivery(Generic[Body]):
    """A message in the hands of a worker.

    Attributes:
        entry_id: its entry in the stream.
        deliveries: how often the server has delivered this entry, this time included.
        fields: the entry as it came.
    """

    entry_id: str
    envelope: Envelope[Body]
    deliveries: int
    publisher: Publish = field(repr=False)
    fields: Fields = field(default_factory=dict, repr=False)

    @property
    def attempt(self) -> int:
        """1 for the first try."""
        return self.envelope.attempt + self.deliveries

    async def publish(
        self,
        messages: Sequence[Outgoing],
        record: str | None = None,
        fields: Mapping[str, str | int] = {},
    ) -> None:
        """Publishes before the message is done, and sets fields of the record if that exists, in one step.

        Raises:
            LeaseLost: another worker owns the message; nothing was published.
        """
        if not await self.publisher(self.entry_id, messages, record, fields):
            raise LeaseLost(self.entry_id)


class Stage(Protocol):
    """One consumer group on one stream, and what its workers do.

    Attributes:
        batch_size: most messages that one call of the handler gets.
        linger: seconds to wait for a batch to fill once its first message is there.
        concurrency: batches in the handler at once.
        max_run: seconds after which a handler counts as stuck and its messages go to others.
        max_attempts: tries before a message becomes a dead letter.
        downstream: reading pauses while one of these streams is longer than the number beside it.
    """

    name: str
    stream: str
    group: str
    dead_stream: str
    batch_size: int
    linger: float
    concurrency: int
    max_run: float
    max_attempts: int

    @property
    def downstream(self) -> Sequence[tuple[str, int]]: ...

    def decode(self, entry_id: str, fields: Fields) -> Envelope[Any]:
        """Raises `schemas.envelope.EnvelopeError`: the entry becomes a dead letter."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        """One completion or error a message, in order. An exception raised is every message's error."""
        ...

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Returns the completion to apply, atomically, with the dead letter of a message that is given up."""
        ...
