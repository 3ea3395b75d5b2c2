"""Joins stage: lets a job be answered by another one of the same content and parameters, completed or running.

It runs in the process of finalize, since only this process may end jobs and write the keys of the result cache.
"""

from collections.abc import Iterator

import structlog

from consumers.base_stage import OneByOneStage
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

    def on_dead_letter(self, envelope: Envelope[JoinTask], reason: str) -> Completion:
        """Fails the job, whose frames worker waits for the reply."""
        return self._finalize(
            envelope, FinalizeTask(error=f"The result cache could not be searched: {reason}")
        )

    async def _handle_one(self, delivery: Delivery[JoinTask]) -> Completion:
        envelope, task, jobs = delivery.envelope, delivery.envelope.body, self._service.jobs
        joined = await jobs.join(envelope.job, task.cache_key, task.keep, envelope.run)
        await jobs.note(envelope.job, envelope.run, join=f"{task.asked_by} {'joined' if joined else 'leads'}")
        if joined:
            log.info("job coalesced")
        return Completion()


def build(service: Service, _: Shared) -> Iterator[JoinsStage]:
    """Builds the stage of a partition."""
    yield JoinsStage(service)
