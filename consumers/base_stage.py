"""Base classes of the stages: the attributes and methods that all or most of them share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from consumers.runtime.stage import Completion, Delivery
from consumers.service import Service
from schemas import topology
from schemas.envelope import Envelope, open_entry
from schemas.messages import FinalizeTask

Body = TypeVar("Body")


class BaseStage(ABC, Generic[Body]):
    """One consumer group on one stream of a partition; satisfies `consumers.runtime.stage.Stage`.

    A subclass overrides the limits that do not fit it.

    Args:
        name: of the stage in `schemas.topology`, which states its group, streams and messages.
        lane: which of its streams (`schemas.topology.Stage.stream`).
    """

    linger = 0.0
    concurrency = 1
    max_run = 600.0
    downstream: Sequence[tuple[str, int]] = ()

    def __init__(self, service: Service, name: str, lane: str = "") -> None:
        stage = topology.stage(service.names, name)
        self._service = service
        self._messages = stage.messages
        self.name = f"{name}:{lane}" if lane else name
        self.group = stage.group
        self.stream = stage.stream(lane)
        self.dead_stream = service.names.dead
        self.delay_set = service.names.delayed(self.stream)
        self.scan = service.names.scan(self.stream)
        self.max_attempts = service.settings.max_attempts
        self.fair = stage.fair

    @property
    def batch_size(self) -> int:
        """Maximum number of messages per call of the handler; 1 by default."""
        return 1

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[Body]:
        """Decodes and validates an entry of the stream."""
        return open_entry(fields, self._messages)

    async def start(self) -> None:
        """Loads what the stage needs; nothing by default."""

    async def stop(self) -> None:
        """Releases what `start` and the constructor acquired; nothing by default."""

    @abstractmethod
    async def handle(self, batch: Sequence[Delivery[Body]]) -> Sequence[Completion | Exception]:
        """Handles a batch; returns one completion or error per message, in order."""

    @abstractmethod
    def on_dead_letter(self, envelope: Envelope[Body], reason: str) -> Completion:
        """Returns the effects of a message that becomes a dead letter."""

    def _finalize(self, envelope: Envelope[Any], task: FinalizeTask) -> Completion:
        """Completes a message by sending its job to the finalize stage."""
        return Completion(publish=(self._service.finalize_message(envelope, task),))


class OneByOneStage(BaseStage[Body]):
    """A stage that handles one message at a time: with `batch_size` 1, an exception is the error of one message."""

    async def handle(self, batch: Sequence[Delivery[Body]]) -> Sequence[Completion | Exception]:
        """Handles the messages one after the other."""
        return [await self._handle_one(delivery) for delivery in batch]

    @abstractmethod
    async def _handle_one(self, delivery: Delivery[Body]) -> Completion:
        """Handles one message."""
