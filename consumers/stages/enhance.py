"""Enhance stage: fetches enhanced pictures of frames with poor faces, and sends them back to the analyze stage."""

import hashlib
from collections.abc import Iterator
from typing import cast

import aiohttp
import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.job_watch import JobEnded, JobWatch
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.runtime.stage import Completion, Delivery, Outgoing, Retry
from consumers.service import Service, Shared
from consumers.sources.frame_server import FrameServer, FrameServerRefused, FrameServerUnavailable
from consumers.sources.frame_store import FrameStore
from schemas.envelope import Envelope, seal_next
from schemas.messages import EnhanceTask

log = structlog.get_logger(__name__)

STORE_SECONDS = 60.0
"""Time for everything but the Frame Server's response."""
NO_SERVER = "No Frame Server is configured (FRAME_SERVER_URL)."


class EnhanceStage(OneByOneStage[EnhanceTask]):
    """Consumer group ``enhance`` on ``enhance``: fetches enhanced frames from the Frame Server.

    A worker has one request in flight: the Frame Server enhances one picture at a time, for tens of seconds on a CPU.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service, "enhance")
        self._watch = JobWatch(service.redis, service.names)
        self._store = FrameStore(
            service.redis,
            service.names,
            ttl=service.settings.frame_ttl,
            directory=service.settings.frame_store,
        )
        self._server: FrameServer | None = None
        self._session: aiohttp.ClientSession | None = None
        self.max_run = service.settings.enhance_timeout + STORE_SECONDS
        self.downstream = ((service.names.express, service.settings.frames_high_water),)

    async def start(self) -> None:
        """Opens the session of the Frame Server, where one is configured."""
        if url := self._service.settings.frame_server_url:
            self._session = aiohttp.ClientSession()
            self._server = FrameServer(url, self._session)

    async def stop(self) -> None:
        """Closes the session."""
        if self._session is not None:
            await self._session.close()

    def on_dead_letter(self, envelope: Envelope[EnhanceTask], reason: str) -> Completion:
        """Keeps the original faces of the frame; the metadata of the result names the reason."""
        return Completion(
            fan_in=self._service.fan_in(envelope),
            unit=str(envelope.body.task.index),
            outcome=encode_outcome(FrameOutcome("kept", reason)),
        )

    async def _handle_one(self, delivery: Delivery[EnhanceTask]) -> Completion:
        envelope, task = delivery.envelope, delivery.envelope.body.task
        record = self._service.names.job(envelope.job).metadata
        ended, created, run = await self._service.redis.hmget(record, ["ended", "created", "run"])
        if ended or not created or not envelope.is_of(run):
            return Completion()
        if self._server is None:
            return self.on_dead_letter(envelope, NO_SERVER)
        try:
            picture = await self._picture(envelope)
        except JobEnded:
            return Completion()
        except FrameServerRefused as error:
            return self.on_dead_letter(envelope, str(error))
        except FrameServerUnavailable as error:
            raise Retry(str(error)) from error
        stored = await self._store.put(envelope.job, envelope.run, f"{task.index}-enhanced", picture)
        enhanced = msgspec.structs.replace(task, frame=stored, enhanced=True)
        message = seal_next(envelope, "frame", f"{task.index}/enhanced", enhanced)
        return Completion(publish=(Outgoing(self._service.names.express, message),))

    async def _picture(self, envelope: Envelope[EnhanceTask]) -> bytes:
        """Returns the enhanced picture, from the cache of enhanced frames or from the Frame Server."""
        task = envelope.body.task
        assert task.enhancement is not None, "the analyze stage sends only frames of jobs with enhancement"
        assert self._server is not None
        redis, names = self._service.redis, self._service.names
        version = await redis.hget(names.job(envelope.job).metadata, "version")
        identity = (
            task.source,
            version,
            task.timestamp,
            task.enhancement.model,
            task.enhancement.fidelity_weight,
        )
        key = names.enhanced(hashlib.sha256(repr(identity).encode()).hexdigest())
        cached = cast("bytes | None", await redis.get(key))
        if cached is not None:
            return cached
        async with self._watch.until_ended(envelope):
            picture = await self._server.enhanced_frame(
                task.source,
                task.timestamp,
                task.enhancement.model,
                task.enhancement.fidelity_weight,
                self._service.settings.enhance_timeout,
            )
        await redis.set(key, picture, ex=self._service.settings.cache_ttl)
        return picture


def build(service: Service, _: Shared) -> Iterator[EnhanceStage]:
    """Builds the stage of a partition."""
    yield EnhanceStage(service)
