"""Joins stage: lets a job be answered by another one of the same content and parameters, completed or running, or by
what was observed of its source before.

It runs in the process of finalize, since only this process may end jobs and write the keys of the result cache.
"""

from collections.abc import Iterator

import structlog

from consumers.base_stage import OneByOneStage
from consumers.known_samplings import KnownSamplings
from consumers.runtime.stage import Completion, Delivery
from consumers.service import Service, Shared
from schemas.envelope import Envelope
from schemas.messages import FinalizeTask, JoinTask

log = structlog.get_logger(__name__)


class JoinsStage(OneByOneStage[JoinTask]):
    """Consumer group ``joins`` on ``joins``: replies in the job's record to the frames worker that asks."""

    concurrency = 16

    def __init__(self, service: Service) -> None:
        super().__init__(service, "joins")
        self._known = KnownSamplings(service)

    def on_dead_letter(self, envelope: Envelope[JoinTask], reason: str) -> Completion:
        """Fails the job, whose frames worker waits for the reply."""
        return self._finalize(
            envelope, FinalizeTask(error=f"The result cache could not be searched: {reason}")
        )

    async def _handle_one(self, delivery: Delivery[JoinTask]) -> Completion:
        envelope, task, jobs = delivery.envelope, delivery.envelope.body, self._service.jobs
        if task.cache_key and await jobs.join(envelope.job, task.cache_key, task.keep, envelope.run):
            await self._reply(delivery, "joined")
            log.info("job coalesced")
            return Completion()
        units = None if task.reuse is None else await self._known.take(envelope, task.reuse)
        await self._reply(delivery, "leads" if units is None else "reused")
        if units is None:
            return Completion()
        log.info("job observed before", frames=units)
        return Completion(fan_in=self._service.fan_in(envelope), units=units)

    async def _reply(self, delivery: Delivery[JoinTask], reply: str) -> None:
        envelope = delivery.envelope
        await self._service.jobs.note(envelope.job, envelope.run, join=f"{envelope.body.asked_by} {reply}")


def build(service: Service, _: Shared) -> Iterator[JoinsStage]:
    """Builds the stage of a partition."""
    yield JoinsStage(service)
