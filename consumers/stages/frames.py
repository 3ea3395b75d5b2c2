"""Frames stage: opens the source of a job, samples it, stores the frames and publishes one message per frame."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, cast, get_args

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.publishing import PRIORITY_FACTOR, FramePublisher, SampleCounter, resolved_enhancement
from consumers.runtime.stage import Completion, Delivery, Reject
from consumers.service import Service, Shared
from consumers.sources.memory_budget import MemoryBudget, limit_memory, out_of_memory
from consumers.sources.opening import Source, SourceOpener
from consumers.sources.segmentation import Segmentation, changed
from consumers.stages.segments import parallel_segments, segment_messages
from facecore.video import SourceError
from schemas.envelope import Envelope, seal
from schemas.messages import FinalizeTask, open_request
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Parameters, RequestError, to_request
from schemas.settings import Settings
from schemas.store.job_record import cache_key
from schemas.store.jobs import SUBMITTED, JobExists

log = structlog.get_logger(__name__)


class FramesStage(OneByOneStage[dict[str, Any]]):
    """Consumer group ``frames`` on ``faces:requests``: samples several jobs at the same time.

    Each job has its own thread and its own window of frames in flight: a long film does not delay a short clip.

    Args:
        memory: for the large pictures that the process decodes.
        priority: priority of the requests; `PRIORITY_FACTOR` scales the number of jobs and their windows.
    """

    def __init__(self, service: Service, memory: MemoryBudget, priority: Priority = "normal") -> None:
        super().__init__(service, "frames", "" if priority == "normal" else priority)
        settings, factor = service.settings, PRIORITY_FACTOR[priority]
        concurrency = max(1, round(settings.jobs_per_worker * factor))
        self._priority: Priority = priority
        self._publisher = FramePublisher(service)
        self._pool = ThreadPoolExecutor(concurrency, "decode")
        self._opener = SourceOpener(settings, self._pool, memory)
        self._window = max(1, round(settings.job_window * factor))
        self.concurrency = concurrency
        self.max_run = settings.job_deadline

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[dict[str, Any]]:
        """Decodes a request, in an envelope or bare."""
        return open_request(entry_id, fields)

    async def start(self) -> None:
        """Limits the memory of the process and opens the sessions of the sources."""
        limit_memory(self._service.settings.memory_bytes)
        await self._opener.start()

    async def stop(self) -> None:
        """Closes the sessions and ends the decoding threads."""
        await self._opener.stop()
        self._pool.shutdown(cancel_futures=True)

    def on_dead_letter(self, envelope: Envelope[dict[str, Any]], reason: str) -> Completion:
        """Fails the job."""
        return self._finalize(envelope, FinalizeTask(error=f"The frames could not be sampled: {reason}"))

    async def _handle_one(self, delivery: Delivery[dict[str, Any]]) -> Completion:
        """Samples a job; one with an invalid request or source fails, with the reason."""
        job_id, jobs = delivery.envelope.job, self._service.jobs
        if (home := self._service.partitions.of(job_id)) is not self._service.names:
            return await self._forward(delivery.envelope, home.requests_of(self._priority))
        try:
            request = to_request(delivery.envelope.body)
        except RequestError as error:
            if await self._begin(delivery.envelope, _placeholder(delivery.envelope.body)):
                await jobs.fail(job_id, f"The request is invalid: {error}")
            return Completion()
        if not await self._begin(delivery.envelope, request):
            return Completion()
        try:
            return await self._sample_in_memory(delivery, request)
        except SourceError as error:
            log.info("job failed", error=str(error))
            await jobs.fail(job_id, str(error))
            return Completion()

    async def _begin(self, envelope: Envelope[dict[str, Any]], request: AnalyzeRequest) -> bool:
        """Begins the job of a request; False: there is nothing to do.

        Raises:
            Reject: the job id belongs to another request, whose job is not affected.
        """
        submitted = envelope.id == f"{envelope.job}/analyze/{SUBMITTED}"
        begin = self._service.jobs.begin
        try:
            return await begin(envelope.job, request, submitted=submitted, published=envelope.created)
        except JobExists as error:
            raise Reject(f"{error}; publish it under another job_id", foreign=True) from error

    async def _sample_in_memory(
        self, delivery: Delivery[dict[str, Any]], request: AnalyzeRequest
    ) -> Completion:
        """Samples a job; a failed allocation is the error of its file, or it is repeated later (`out_of_memory`)."""
        try:
            return await self._sample(delivery, request)
        except MemoryError:
            log.warning("out of memory", source=request.video_path)
        raise out_of_memory(request.video_path, self._service.settings.memory_bytes)

    async def _forward(self, envelope: Envelope[dict[str, Any]], stream: str) -> Completion:
        """Sends a request to the partition of its job, which the publisher need not know.

        The other partition is in another hash slot, so this is not part of the completion's script. A crash in
        between forwards the request twice; the second one finds its job already begun.
        """
        message = seal("analyze", envelope.job, "", envelope.body, traceparent=envelope.traceparent)
        await self._service.redis.xadd(stream, cast("dict[Any, Any]", message))
        return Completion()

    async def _sample(self, delivery: Delivery[dict[str, Any]], request: AnalyzeRequest) -> Completion:
        envelope, service = delivery.envelope, self._service
        job_id, record = envelope.job, service.names.job(envelope.job).metadata
        async with AsyncExitStack() as resources:
            source = await self._opener.locate(request, resources)
            if await self._join_other_job(job_id, request, source):
                return Completion()
            fields = ["sampled", "method", "parts", "version"]  # of an earlier attempt
            sampled, method, parts, version = cast(
                "list[bytes | None]", await service.redis.hmget(record, fields)
            )
            if parts:
                return Completion()
            first = int(sampled or 0)
            if first and version is not None and not source.is_version(version.decode()):
                raise changed(source.name)
            frames = await self._opener.frames(
                job_id, request, source, first, method.decode() if method else None, resources
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
        log.info("job sampled", frames=number, method=frames.method)
        return Completion(fan_in=service.fan_in(job_id, envelope.traceparent), units=number)

    async def _publish_segments(
        self, delivery: Delivery[dict[str, Any]], segmentation: Segmentation
    ) -> Completion:
        """Publishes the first parts of a long film and records its parts, in one step."""
        names, envelope, parts = self._service.names, delivery.envelope, len(segmentation.starts)
        fields: dict[str, str | int] = {
            "parts": parts,
            "segments": msgspec.json.encode(segmentation).decode(),
        }
        stream = names.segments_of(self._priority)
        messages = segment_messages(
            stream, envelope.job, envelope.traceparent, range(parallel_segments(segmentation))
        )
        await delivery.publish(messages, names.job(envelope.job).metadata, fields)
        log.info("job divided", parts=parts)
        return Completion()

    async def _join_other_job(self, job_id: str, request: AnalyzeRequest, source: Source) -> bool:
        """Whether a job with the same source and parameters, completed or running, provides the result of this one.

        Never with `match_collections`, since collections change.
        """
        settings, ttl = self._service.settings, request.parameters.cache_duration
        if ttl == 0 or request.parameters.match_collections or source.version == "":
            return False
        key = cache_key(source.name, source.version, _identity(request.parameters, settings))
        joined = await self._service.jobs.join(job_id, key, settings.cache_ttl if ttl is None else ttl)
        if joined:
            log.info("job coalesced")
        return joined


def build(service: Service, shared: Shared) -> Iterator[FramesStage]:
    """Builds the stages of a partition, one per priority."""
    memory = shared.get(MemoryBudget, lambda: MemoryBudget(service.settings.memory_bytes))
    for priority in get_args(Priority):
        yield FramesStage(service, memory, priority)


def _identity(parameters: Parameters, settings: Settings) -> dict[str, Any]:
    """Returns what the result depends on besides the source: parameters with their defaults, and the model pack."""
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
        return ["Faces on sprites are not enhanced: no larger picture of them exists."]
    return []


def _placeholder(body: dict[str, Any]) -> AnalyzeRequest:
    """Returns a placeholder for an invalid request, so that its job has a record."""
    path = body.get("video_path", body.get("source"))
    return AnalyzeRequest(video_path=path[:4096] if isinstance(path, str) and path else "?")
