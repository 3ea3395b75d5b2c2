"""The frames stage: opens the source of a job, samples it, stores the frames and publishes one message each."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, cast, get_args

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.publishing import PRIORITY_FACTOR, FramePublisher, SampleCounter, resolved_enhancement
from consumers.runtime.stage import Completion, Delivery
from consumers.service import Service, Shared
from consumers.sources.opening import Source, SourceOpener
from consumers.sources.safety import limit_memory
from consumers.sources.segmentation import Segmentation, changed
from consumers.stages.segments import parallel_segments, segment_messages
from facecore.video import SourceError
from schemas.envelope import Envelope, seal
from schemas.messages import FinalizeTask, open_request
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Parameters, RequestError, to_request
from schemas.settings import Settings
from schemas.store.jobs import cache_key

log = structlog.get_logger(__name__)


class FramesStage(OneByOneStage[dict[str, Any]]):
    """Consumer group ``frames`` on ``faces:requests``. Works on several jobs at once, each with its own thread
    and its own window of frames in flight, so that a long film does not hold up a short clip.

    Args:
        priority: whose requests this worker takes; `PRIORITY_FACTOR` says how many at once.
    """

    def __init__(self, service: Service, priority: Priority = "normal") -> None:
        super().__init__(service, "frames", "" if priority == "normal" else priority)
        settings, share = service.settings, PRIORITY_FACTOR[priority]
        at_once = max(1, round(settings.jobs_per_worker * share))
        self._priority: Priority = priority
        self._publisher = FramePublisher(service)
        self._pool = ThreadPoolExecutor(at_once, "decode")
        self._opener = SourceOpener(settings, self._pool)
        self._window = max(1, round(settings.job_window * share))
        self.concurrency = at_once
        self.max_run = settings.job_deadline

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[dict[str, Any]]:
        return open_request(entry_id, fields)

    async def start(self) -> None:
        limit_memory(self._service.settings.max_memory)
        await self._opener.start()

    async def stop(self) -> None:
        await self._opener.stop()
        self._pool.shutdown(cancel_futures=True)

    def on_dead_letter(self, envelope: Envelope[dict[str, Any]], reason: str) -> Completion:
        """The job of a request that cannot be worked on ends: no more frames of it will come."""
        return self._finalize(envelope, FinalizeTask(error=f"The frames could not be sampled: {reason}"))

    async def _handle_one(self, delivery: Delivery[dict[str, Any]]) -> Completion:
        """A source that cannot be used is the caller's affair: the job fails, with the reason."""
        job_id, jobs = delivery.envelope.job, self._service.jobs
        if (home := self._service.partitions.of(job_id)) is not self._service.names:
            return await self._pass_on(delivery.envelope, home.requests_of(self._priority))
        try:
            request = to_request(delivery.envelope.body)
        except RequestError as error:
            await jobs.begin(job_id, _unreadable(delivery.envelope.body))
            await jobs.fail(job_id, f"The request cannot be accepted: {error}")
            return Completion()
        if not await jobs.begin(job_id, request):
            return Completion()
        try:
            return await self._sample(delivery, request)
        except SourceError as error:
            log.info("source refused", error=str(error))
            await jobs.fail(job_id, str(error))
            return Completion()

    async def _pass_on(self, envelope: Envelope[dict[str, Any]], stream: str) -> Completion:
        """A publisher need not know the partitions: another slot has the job, so this is no part of a script, and a
        crash in between sends the request twice, of which the second one finds its job begun."""
        message = seal("analyze", envelope.job, "", envelope.body, traceparent=envelope.traceparent)
        await self._service.redis.xadd(stream, cast("dict[Any, Any]", message))
        return Completion()

    async def _sample(self, delivery: Delivery[dict[str, Any]], request: AnalyzeRequest) -> Completion:
        envelope, service = delivery.envelope, self._service
        job_id, record = envelope.job, service.names.job(envelope.job).metadata
        async with AsyncExitStack() as held:
            source = await self._opener.locate(request, held)
            if await self._answered(job_id, request, source):
                return Completion()
            fields = ["sampled", "method", "parts", "version"]  # an earlier attempt got this far
            sampled, method, parts, version = cast(
                "list[bytes | None]", await service.redis.hmget(record, fields)
            )
            if parts:
                return Completion()
            first = int(sampled or 0)
            if first and version is not None and not source.is_version(version.decode()):
                raise changed(source.name)
            frames = await self._opener.frames(
                job_id, request, source, first, method.decode() if method else None, held
            )
            self._publisher.check_number(request, frames.expected)
            await service.jobs.note(
                job_id, method=frames.method, expected=frames.expected, version=source.version
            )
            segmentation = None if first else await self._opener.segmentation(source, frames, self._window)
            if segmentation is not None:
                return await self._publish_segments(delivery, segmentation)
            counter = SampleCounter("sampled", ("sampled",), 0, self._window)
            number = await self._publisher.publish(delivery, request, frames, counter, first)
            if number is None:
                return Completion()
            await asyncio.to_thread(source.check_unchanged)
            if warnings := [*frames.warnings, *_warnings(request.parameters)]:
                await service.jobs.note(job_id, warnings=msgspec.json.encode(warnings).decode())
        log.info("sampled", frames=number, method=frames.method)
        return Completion(fan_in=service.fan_in(job_id, envelope.traceparent), units=number)

    async def _publish_segments(
        self, delivery: Delivery[dict[str, Any]], segmentation: Segmentation
    ) -> Completion:
        """Hands a long film out in parts; that it was done is noted in the same step."""
        names, envelope, parts = self._service.names, delivery.envelope, len(segmentation.starts)
        fields: dict[str, str | int] = {
            "parts": parts,
            "segments": msgspec.json.encode(segmentation).decode(),
        }
        stream = names.segments_of(self._priority)
        begin = segment_messages(
            stream, envelope.job, envelope.traceparent, range(parallel_segments(segmentation))
        )
        await delivery.publish(begin, names.job(envelope.job).metadata, fields)
        log.info("divided", parts=parts)
        return Completion()

    async def _answered(self, job_id: str, request: AnalyzeRequest, source: Source) -> bool:
        """Whether another job, finished or running, answers for this one. Never where people are looked for in
        collections: those change."""
        settings, keep = self._service.settings, request.parameters.cache_duration
        if keep == 0 or request.parameters.match_collections or source.version == "":
            return False
        key = cache_key(source.name, source.version, _identity(request.parameters, settings))
        answered = await self._service.jobs.join(job_id, key, settings.cache_ttl if keep is None else keep)
        if answered:
            log.info("answered by another job")
        return answered


def build(service: Service, _: Shared) -> Iterator[FramesStage]:
    """A stage for each priority."""
    for priority in get_args(Priority):
        yield FramesStage(service, priority)


def _identity(parameters: Parameters, settings: Settings) -> dict[str, Any]:
    """What the result depends on beside the source: the parameters as they will be used, and the models."""
    identity: dict[str, Any] = msgspec.to_builtins(parameters)
    del identity["cache_duration"]
    if parameters.min_confidence is None:
        identity["min_confidence"] = settings.min_confidence
    if parameters.min_quality is None:
        identity["min_quality"] = settings.min_quality
    identity["enhancement"] = msgspec.to_builtins(resolved_enhancement(parameters, settings))
    identity["model"] = settings.pack
    return identity


def _warnings(parameters: Parameters) -> list[str]:
    if parameters.enhancement.enabled and parameters.use_sprites:
        return ["Faces on sprites are not enhanced: there is no larger picture of them."]
    return []


def _unreadable(body: dict[str, Any]) -> AnalyzeRequest:
    """A stand-in for a request that is not valid, so that its job can be asked after."""
    named = body.get("video_path", body.get("source"))
    return AnalyzeRequest(video_path=named[:4096] if isinstance(named, str) and named else "?")
