"""Segments stage: samples the parts of long films, on any host that has the file.

The job record states the parts and their samples from the start of the job, so the result does not depend on which
worker samples a part, when, or how often. Only n parts of a job are queued or running at a time: part i publishes
part i + n when it is done. So the parts of several films alternate in the stream.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast, get_args

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.job_watch import JobEnded, JobWatch
from consumers.publishing import PRIORITY_FACTOR, FramePublisher, SampleCounter
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from consumers.sources.content import Version
from consumers.sources.frames import FRAMES_PER_CHUNK, LocalSource
from consumers.sources.memory_budget import out_of_memory
from consumers.sources.safety import open_source_file
from consumers.sources.segmentation import Segmentation, check_unchanged, open_part
from consumers.sources.stills import group_start
from consumers.threads import in_thread
from facecore.video import Samples, SourceError
from schemas.envelope import Envelope, seal_next
from schemas.messages import FinalizeTask, SegmentTask
from schemas.names import Priority
from schemas.opened_file import OpenedFile
from schemas.requests import AnalyzeRequest
from schemas.store.fair_queue import Share

log = structlog.get_logger(__name__)
T = TypeVar("T")


class SegmentsStage(OneByOneStage[SegmentTask]):
    """Consumer group ``frames`` on ``segments``, run by every frames worker.

    Args:
        priority: priority of the films; `PRIORITY_FACTOR` scales the number of parts that run at the same time.
    """

    def __init__(self, service: Service, priority: Priority = "normal") -> None:
        super().__init__(service, "segments", "" if priority == "normal" else priority)
        settings = service.settings
        concurrency = max(1, round(settings.jobs_per_worker * PRIORITY_FACTOR[priority]))
        self._watch = JobWatch(service.redis, service.names)
        self._publisher = FramePublisher(service, self._watch, self.stream)
        self._pool = ThreadPoolExecutor(concurrency, "segment")
        self.concurrency = concurrency
        self.max_run = settings.job_deadline

    async def stop(self) -> None:
        """Ends the decoding threads."""
        self._pool.shutdown(cancel_futures=True)

    def on_dead_letter(self, envelope: Envelope[SegmentTask], reason: str) -> Completion:
        """Fails the job: it cannot be completed without this part."""
        failure = FinalizeTask(error=f"A part of the film could not be sampled: {reason}")
        return self._finalize(envelope, failure)

    async def _handle_one(self, delivery: Delivery[SegmentTask]) -> Completion:
        job_id, part = delivery.envelope.job, delivery.envelope.body.number
        record = await self._service.redis.hmget(
            self._service.names.job(job_id).metadata,
            ["request", "ended", "run", "segments", "version", "content", f"sampled:{part}", f"part:{part}"],
        )
        request, ended, run, segments, version, content, sampled, done = cast("list[bytes | None]", record)
        if not delivery.envelope.is_of(run) or ended or done:
            return Completion()  # the run is over, or the part is already done
        if request is None or segments is None or version is None:
            return Completion()  # the job was deleted
        segmentation = msgspec.json.decode(segments, type=Segmentation)
        try:
            return await self._sample_in_memory(
                delivery,
                msgspec.msgpack.decode(request, type=AnalyzeRequest),
                segmentation,
                Version.parse(version.decode(), (content or b"").decode()),
                segmentation.starts[part] + int(sampled or 0),
            )
        except JobEnded:
            return Completion()
        except SourceError as error:
            log.info("job failed", error=str(error))
            return self._finalize(delivery.envelope, FinalizeTask(error=str(error)))

    async def _sample_in_memory(
        self,
        delivery: Delivery[SegmentTask],
        request: AnalyzeRequest,
        segmentation: Segmentation,
        version: Version,
        first: int,
    ) -> Completion:
        """Samples a part; a failed allocation is the error of its file, or it is repeated later (`out_of_memory`)."""
        try:
            return await self._sample(delivery, request, segmentation, version, first)
        except MemoryError:
            log.warning("out of memory", source=request.video_path)
        raise out_of_memory(request.video_path, self._service.settings.memory_bytes)

    async def _sample(
        self,
        delivery: Delivery[SegmentTask],
        request: AnalyzeRequest,
        segmentation: Segmentation,
        version: Version,
        first: int,
    ) -> Completion:
        envelope, part, service = delivery.envelope, delivery.envelope.body.number, self._service
        parts = len(segmentation.starts)
        start, window = segmentation.starts[part], segmentation.window
        counter = SampleCounter(f"sampled:{part}", counter_fields(parts), start, window)
        async with AsyncExitStack() as resources:
            async with self._watch.until_ended(envelope):
                file = await self._run(open_source_file, request.video_path, service.settings.roots)
                from_group = group_start(first)
                samples = await self._run(
                    self._opened, file, request, version, segmentation, part, from_group
                )
            resources.push_async_callback(self._run, samples.close)
            frames = LocalSource(samples, first, self._pool, service.settings)
            number = await self._publisher.publish(delivery, request, frames, counter, first)
            if number is None:
                return Completion()
            faults = await self._run(check_unchanged, file, request.video_path, version)
            if warnings := [*frames.warnings, *faults]:
                noted = {f"warnings:{part}": msgspec.json.encode(warnings).decode()}
                await service.jobs.note(envelope.job, envelope.run, **noted)
        log.info("part sampled", part=part, parts=parts, frames=number - start)
        following = part + parallel_segments(segmentation)
        further = [following] if following < parts else []
        return Completion(
            fan_in=service.fan_in(envelope),
            part=part,
            parts=parts,
            units=number - start,
            publish=segment_messages(self.stream, envelope, further, service.share(envelope)),
        )

    def _opened(
        self,
        file: OpenedFile,
        request: AnalyzeRequest,
        version: Version,
        segmentation: Segmentation,
        part: int,
        first: int,
    ) -> Samples:
        pixels = self._service.settings.max_pixels
        return open_part(file, request, version, segmentation, part, first, max_pixels=pixels)

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await in_thread(self._pool, call, *args)


def build(service: Service, _: Shared) -> Iterator[SegmentsStage]:
    """Builds the stages of a partition, one per priority."""
    for priority in get_args(Priority):
        yield SegmentsStage(service, priority)


def counter_fields(parts: int) -> tuple[str, ...]:
    """Returns the fields of the job record that count the samples of each part."""
    return tuple(f"sampled:{part}" for part in range(parts))


def parallel_segments(segmentation: Segmentation) -> int:
    """Returns how many parts of a job may be queued or running: each may exceed the job's window by a chunk."""
    return max(1, min(len(segmentation.starts), segmentation.window // FRAMES_PER_CHUNK))


def segment_messages(
    stream: str, envelope: Envelope[Any], parts: Iterable[int], share: Share
) -> tuple[Outgoing, ...]:
    """Returns the messages that start parts of the film of a message's job."""
    return tuple(
        Outgoing(stream, seal_next(envelope, "segment", f"part-{part}", SegmentTask(number=part)), share)
        for part in parts
    )
