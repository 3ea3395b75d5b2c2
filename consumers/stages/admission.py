"""Admission stage: creates the jobs of requests that services publish themselves.

Of these services, the only right on the server is to add entries to the streams of requests. An entry becomes a job
here, with the checks that the API makes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.runtime.stage import Completion, Delivery, Reject
from consumers.service import Service, Shared
from schemas.envelope import Envelope, EnvelopeError, seal
from schemas.messages import open_request
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, RequestError, to_request
from schemas.store.submissions import PUBLISHED_AT_LIMIT, SUBMITTED, JobExists

log = structlog.get_logger(__name__)


class AdmissionStage(OneByOneStage[dict[str, Any]]):
    """Consumer group ``frames`` on ``requests``: accepts requests while the queue of accepted jobs has room.

    Args:
        priority: of the requests on the stream that state none.
    """

    concurrency = 4

    def __init__(self, service: Service, priority: Priority = "normal") -> None:
        super().__init__(service, "admission", "" if priority == "normal" else priority)
        self._priority: Priority = priority
        self._accepted = service.names.accepted_of(priority)
        self.downstream = ((self._accepted, PUBLISHED_AT_LIMIT * service.settings.max_queued_jobs),)

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[dict[str, Any]]:
        """Decodes a request, in an envelope or bare, that is no larger than one to the API may be."""
        limit = self._service.settings.max_body_bytes
        if sum(map(len, fields.values())) > limit:
            raise EnvelopeError(f"the entry is larger than {limit} bytes (FACES_MAX_BODY_BYTES)")
        return open_request(entry_id, fields)

    def on_dead_letter(self, envelope: Envelope[dict[str, Any]], reason: str) -> Completion:
        """Has no effects: if the request has a job, it goes on, and another job of this id is not concerned."""
        return Completion()

    async def _handle_one(self, delivery: Delivery[dict[str, Any]]) -> Completion:
        """Creates the job of a request; that of an invalid one fails, with the reason.

        Raises:
            Reject: the job id belongs to another request, whose job is not affected, or the request is nested too
                deeply.
        """
        envelope, jobs = delivery.envelope, self._service.jobs
        if envelope.id == f"{envelope.job}/analyze/{SUBMITTED}":
            return await self._pass_on(envelope)
        try:
            try:
                request = to_request({"priority": self._priority, **envelope.body})
            except RequestError as error:
                reason = f"The request is invalid: {error}"
                await jobs.refuse(
                    _placeholder(envelope.body),
                    envelope.job,
                    envelope.created,
                    reason,
                    hashlib.sha256(msgspec.json.encode(envelope.body, order="sorted")).hexdigest(),
                )
                return Completion()
            await jobs.accept(request, envelope.job, envelope.created, envelope.traceparent)
        except RecursionError as error:  # comparing deep values
            raise Reject("the request is nested too deeply") from error
        except JobExists as error:
            raise Reject(f"{error}; publish it under another job_id", foreign=True) from error
        return Completion()

    async def _pass_on(self, envelope: Envelope[dict[str, Any]]) -> Completion:
        """Passes on a job that the API of an earlier version has accepted; without its record it is not started."""
        message = seal("analyze", envelope.job, SUBMITTED, envelope.body, traceparent=envelope.traceparent)
        await self._service.redis.xadd(self._accepted, cast("dict[Any, Any]", message))
        return Completion()


def build(service: Service, _: Shared) -> Iterator[AdmissionStage]:
    """Builds the stages of a partition, one per priority."""
    for priority in get_args(Priority):
        yield AdmissionStage(service, priority)


def _placeholder(body: dict[str, Any]) -> AnalyzeRequest:
    """Returns a placeholder for an invalid request, so that its job has a record."""
    path = body.get("video_path", body.get("source"))
    return AnalyzeRequest(video_path=path[:4096] if isinstance(path, str) and path else "?")
