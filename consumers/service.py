"""Service: what all stages of a partition share, and the messages that end a job."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from redis.asyncio import Redis

from consumers.runtime.stage import FanIn, Outgoing
from schemas.envelope import Envelope, seal_next
from schemas.messages import FinalizeTask
from schemas.names import Names, Partitions
from schemas.settings import Settings
from schemas.store.fair_queue import Share, share_of
from schemas.store.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Service:
    """Connections, names and settings of the stages of one partition.

    Attributes:
        names: of the streams and keys of this partition.
        partitions: names of all partitions.
    """

    redis: Redis
    names: Names
    settings: Settings
    jobs: Jobs
    partitions: Partitions

    def share(self, envelope: Envelope[Any], credit: int = 1) -> Share:
        """Returns how the messages that follow a message wait in fair queues."""
        return share_of(self.settings.weights, envelope.caller, credit)

    def fan_in(self, envelope: Envelope[Any]) -> FanIn:
        """Returns the fan-in of a message's job: once all frames of the run have an outcome, the job goes to the
        finalize stage."""
        keys = self.names.job(envelope.job)
        return FanIn(
            record=keys.metadata,
            outcomes=keys.outcomes,
            final_message=self.finalize_message(envelope, FinalizeTask()),
            run=envelope.run,
        )

    def finalize_message(self, envelope: Envelope[Any], task: FinalizeTask) -> Outgoing:
        """Returns the message that sends the job of another message to the finalize stage. Its id names the round, so
        that a repeated message of one round is recognized."""
        unit = (
            "failure" if task.error
            else "matches" if task.matches is not None
            else "emotions" if task.emotions is not None
            else "people"
        )  # fmt: skip
        message = seal_next(envelope, "finalize", unit, task)
        return Outgoing(self.names.finalize, message, self.share(envelope))


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T")


class Shared(ExitStack):
    """Objects that the stages of a process share, one per class: created on first use, closed with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[type, object] = {}

    def get(self, kind: type[T], create: Callable[[], T]) -> T:
        """Returns the object of a class that the process shares; creates it at the first call."""
        made = self._objects.get(kind)
        if not isinstance(made, kind):
            self._objects[kind] = made = create()
            if isinstance(made, _Closable):
                self.callback(made.close)
        return made
