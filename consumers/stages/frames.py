"""Frames stage: opens the source of a job, samples it, stores the frames and publishes one message per frame."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, cast, get_args

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.job_watch import JobEnded, JobWatch
from consumers.publishing import (
    MAX_POLL_SECONDS,
    PRIORITY_FACTOR,
    FramePublisher,
    SampleCounter,
    resolved_enhancement,
)
from consumers.reuse import sampling_key, source_name
from consumers.runtime.stage import Completion, Delivery, Outgoing, Reject
from consumers.service import Service, Shared
from consumers.sources.memory_budget import MemoryBudget, limit_memory, out_of_memory
from consumers.sources.opening import SourceOpener
from consumers.sources.segmentation import Segmentation
from consumers.sources.source import Source
from consumers.stages.segments import parallel_segments, segment_messages
from facecore.video import SourceError
from schemas.envelope import Envelope, seal_next
from schemas.messages import FinalizeTask, JoinTask, ReuseTask
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Parameters
from schemas.settings import Settings
from schemas.store.job_record import cache_key
from schemas.store.submissions import JobExists

log = structlog.get_logger(__name__)

FIRST_POLL_SECONDS = 0.002
"""Pause before the reply of the joins stage is looked for again; grows by half each time, to `MAX_POLL_SECONDS`."""


class FramesStage(OneByOneStage[AnalyzeRequest]):
    """Consumer group ``frames`` on ``accepted``: samples several jobs at the same time.

    Each job has its own thread and its own window of frames in flight: a long film does not delay a short clip.

    Args:
        memory: for the large pictures that the process decodes.
        priority: priority of the jobs; `PRIORITY_FACTOR` scales the number of jobs and their windows.
    """

    def __init__(self, service: Service, memory: MemoryBudget, priority: Priority = "normal") -> None:
        super().__init__(service, "frames", "" if priority == "normal" else priority)
        settings, factor = service.settings, PRIORITY_FACTOR[priority]
        concurrency = max(1, round(settings.jobs_per_worker * factor))
        self._priority: Priority = priority
        self._watch = JobWatch(service.redis, service.names)
        self._publisher = FramePublisher(service, self._watch, self.stream)
        self._pool = ThreadPoolExecutor(concurrency, "decode")
        self._opener = SourceOpener(settings, self._pool, memory)
        self._window = max(1, round(settings.job_window * factor))
        self.concurrency = concurrency
        self.max_run = settings.job_deadline

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[AnalyzeRequest]:
        """Decodes a message, whose run is named by the id of its first entry."""
        envelope = super().decode(entry_id, fields)
        return msgspec.structs.replace(envelope, run=envelope.run or entry_id)

    async def start(self) -> None:
        """Limits the memory of the process and opens the sessions of the sources."""
        limit_memory(self._service.settings.memory_bytes)
        await self._opener.start()

    async def stop(self) -> None:
        """Closes the sessions and ends the decoding threads."""
        await self._opener.stop()
        self._pool.shutdown(cancel_futures=True)

    def on_dead_letter(self, envelope: Envelope[AnalyzeRequest], reason: str) -> Completion:
        """Fails the job."""
        return self._finalize(envelope, FinalizeTask(error=f"The frames could not be sampled: {reason}"))

    async def _handle_one(self, delivery: Delivery[AnalyzeRequest]) -> Completion:
        """Samples a job; one whose source cannot be used fails, with the reason.

        Raises:
            Reject: the job id belongs to another request, whose job is not affected.
        """
        request = delivery.envelope.body
        try:
            if not await self._service.jobs.begin(delivery.envelope.job, request, delivery.envelope.run):
                return Completion()
        except JobExists as error:
            raise Reject(str(error), foreign=True) from error
        try:
            return await self._sample_in_memory(delivery, request)
        except JobEnded:
            return Completion()
        except SourceError as error:
            log.info("job failed", error=str(error))
            return self._finalize(delivery.envelope, FinalizeTask(error=str(error)))

    async def _sample_in_memory(
        self, delivery: Delivery[AnalyzeRequest], request: AnalyzeRequest
    ) -> Completion:
        """Samples a job; a failed allocation is the error of its file, or it is repeated later (`out_of_memory`)."""
        try:
            return await self._sample(delivery, request)
        except MemoryError:
            log.warning("out of memory", source=request.video_path)
        raise out_of_memory(request.video_path, self._service.settings.memory_bytes)

    async def _sample(self, delivery: Delivery[AnalyzeRequest], request: AnalyzeRequest) -> Completion:
        envelope, service = delivery.envelope, self._service
        job_id, record = envelope.job, service.names.job(envelope.job).metadata
        async with AsyncExitStack() as resources:
            async with self._watch.until_ended(envelope):
                source = await self._opener.locate(request, resources)
            fields = ["sampled", "method", "parts", "version", "content"]  # of an earlier attempt
            sampled, method, parts, version, content = cast(
                "list[bytes | None]", await service.redis.hmget(record, fields)
            )
            if parts:
                return Completion()
            first = int(sampled or 0)
            reuse = await self._reuse(request, source)
            if version is None:
                noted: dict[str, str | int] = {"version": str(source.version), "content": source.content}
                if reuse is not None:
                    noted |= {"observed": reuse.source, "sampling": reuse.sampling}
                await delivery.publish((), record, noted)
            elif version and source.version != "":  # a host without the file cannot say
                recorded = version.decode(), (content or b"").decode()
                source = await asyncio.to_thread(source.as_recorded, *recorded)
            if await self._is_answered(delivery, source, reuse):
                return Completion()
            async with self._watch.until_ended(envelope):
                frames = await self._opener.frames(
                    job_id, request, source, first, method.decode() if method else None, resources
                )
            self._publisher.check_number(request, frames.expected)
            noted = {"method": frames.method, "expected": frames.expected}
            noted["film"] = msgspec.json.encode(frames.film).decode()
            await delivery.publish((), record, noted)
            async with self._watch.until_ended(envelope):
                segmentation = (
                    None if first else await self._opener.segmentation(request, source, frames, self._window)
                )
            if segmentation is not None:
                return await self._publish_segments(delivery, segmentation)
            counter = SampleCounter("sampled", ("sampled",), 0, self._window)
            number = await self._publisher.publish(delivery, request, frames, counter, first)
            if number is None:
                return Completion()
            faults = await asyncio.to_thread(source.check_unchanged)
            if warnings := [*frames.warnings, *faults, *_warnings(request.parameters)]:
                encoded = msgspec.json.encode(warnings).decode()
                await service.jobs.note(job_id, envelope.run, warnings=encoded)
        log.info("job sampled", frames=number, method=frames.method)
        return Completion(fan_in=service.fan_in(envelope), units=number)

    async def _publish_segments(
        self, delivery: Delivery[AnalyzeRequest], segmentation: Segmentation
    ) -> Completion:
        """Publishes the first parts of a long film and records its parts, in one step."""
        names, envelope, parts = self._service.names, delivery.envelope, len(segmentation.starts)
        fields: dict[str, str | int] = {
            "parts": parts,
            "segments": msgspec.json.encode(segmentation).decode(),
        }
        stream = names.segments_of(self._priority)
        first, share = range(parallel_segments(segmentation)), self._service.share(envelope)
        messages = segment_messages(stream, envelope, first, share)
        await delivery.publish(messages, names.job(envelope.job).metadata, fields)
        log.info("job divided", parts=parts)
        return Completion()

    async def _reuse(self, request: AnalyzeRequest, source: Source) -> ReuseTask | None:
        """Returns what the job needs of the observations of its source; None when it uses and keeps none: it is off,
        asked for, or not possible."""
        parameters, settings = request.parameters, self._service.settings
        if not (settings.observations_bytes and source.fingerprint) or parameters.cache_duration == 0:
            return None
        if resolved_enhancement(parameters, settings) is not None:
            return None
        served = await self._opener.is_served(request, source)
        identity = f"{source.state} {request.video_path}" if served else source.state
        return ReuseTask(
            source=source_name(source.fingerprint),
            sampling=sampling_key(parameters, settings, identity, served=served),
            min_confidence=settings.min_confidence
            if parameters.min_confidence is None
            else parameters.min_confidence,
        )

    async def _is_answered(
        self, delivery: Delivery[AnalyzeRequest], source: Source, reuse: ReuseTask | None
    ) -> bool:
        """Whether a job with the same source and parameters, completed or running, provides the result of this one,
        or all frames have been observed before.

        A result never with `match_collections`, since collections change. Also true when the job has ended meanwhile.
        """
        envelope, settings, names = delivery.envelope, self._service.settings, self._service.names
        parameters = envelope.body.parameters
        ttl = parameters.cache_duration
        is_cached = not (ttl == 0 or parameters.match_collections or source.version == "")
        if not is_cached and reuse is None:
            return False
        identity = {
            **_identity(parameters, settings),
            "content": [source.content, source.changed],
            "video_path": envelope.body.video_path,  # which the result names; a link to the same file is another
        }
        task = JoinTask(
            cache_key=cache_key(source.name, source.version, identity) if is_cached else "",
            keep=settings.cache_ttl if ttl is None else ttl,
            asked_by=delivery.entry_id,
            reuse=reuse,
        )
        record = names.job(envelope.job).metadata
        message = seal_next(envelope, "join", task.asked_by, task)
        if not await delivery.publish([Outgoing(names.joins, message)], record):
            return True
        pause = FIRST_POLL_SECONDS
        while True:
            fields = await self._service.redis.hmget(record, ["run", "ended", "join"])
            run, ended, reply = cast("list[bytes | None]", fields)
            if not envelope.is_of(run) or ended:
                return True
            if reply in (f"{task.asked_by} joined".encode(), f"{task.asked_by} reused".encode()):
                return True
            if reply == f"{task.asked_by} leads".encode():
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)


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
