"""What every stage of a partition holds: connections, names, settings, the fan-in of a job."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from redis.asyncio import Redis

from consumers.runtime.stage import FanIn, Outgoing
from schemas.envelope import seal
from schemas.messages import FinalizeTask
from schemas.names import Names, Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Service:
    redis: Redis
    names: Names
    settings: Settings
    jobs: Jobs
    partitions: Partitions

    def fan_in(self, job_id: str, traceparent: str) -> FanIn:
        """When the outcomes of a job are complete, it is finalized."""
        keys = self.names.job(job_id)
        return FanIn(
            record=keys.metadata,
            outcomes=keys.outcomes,
            final_message=self.finalize_message(job_id, FinalizeTask(), traceparent),
        )

    def finalize_message(self, job_id: str, task: FinalizeTask, traceparent: str) -> Outgoing:
        unit = (
            "failure" if task.error
            else "matches" if task.matches is not None
            else "emotions" if task.emotions is not None
            else "people"
        )  # fmt: skip
        return Outgoing(self.names.finalize, seal("finalize", job_id, unit, task, traceparent=traceparent))

    @property
    def running_job_ttl(self) -> int:
        """Seconds that what only a running job needs is kept."""
        return int(self.settings.job_deadline) + 3600


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Shared(ExitStack):
    """Objects that the stages of a process share, one per class: created on first use, closed with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[type, object] = {}

    def get(self, kind: type[T], create: Callable[[], T]) -> T:
        """The process's object of a class."""
        made = self._objects.get(kind)
        if not isinstance(made, kind):
            self._objects[kind] = made = create()
            self.callback(made.close)
        return made
