"""Parts of a long film: each is sampled by any frames worker on any host that sees the file.

The parts and their samples are decided once, when the job begins, and written to its record; so who samples a part,
when, and how often changes nothing. Only some parts of a job wait or run at once: each, when done, publishes the one
that many places further on, so that the parts of several films take turns.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.publishing import SHARE, Counter, Publisher
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service
from consumers.sources.frames import CHUNK, Local
from consumers.sources.safety import resolve
from consumers.sources.segmentation import Division, check_unchanged, open_part
from facecore.video import Samples, SourceError
from schemas.envelope import Envelope, seal
from schemas.messages import SEGMENTS, FinalizeTask, SegmentTask
from schemas.names import Priority
from schemas.requests import AnalyzeRequest

log = structlog.get_logger(__name__)
T = TypeVar("T")


class SegmentsStage(OneByOneStage[SegmentTask]):
    """Consumer group ``frames`` on ``faces:segments``, in every frames worker.

    Args:
        priority: of the films whose parts this worker takes; `SHARE` says how many at once.
    """

    group = "frames"
    messages = SEGMENTS

    def __init__(self, service: Service, priority: Priority = "normal") -> None:
        name = "segments" if priority == "normal" else f"segments:{priority}"
        super().__init__(service, service.names.segments_of(priority), name=name)
        settings = service.settings
        at_once = max(1, round(settings.jobs_per_worker * SHARE[priority]))
        self._publisher = Publisher(service)
        self._pool = ThreadPoolExecutor(at_once, "segment")
        self.concurrency = at_once
        self.max_run = settings.job_deadline

    async def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def on_dead_letter(self, envelope: Envelope[SegmentTask], reason: str) -> Completion:
        """Without one of its parts the job cannot be completed."""
        failure = FinalizeTask(error=f"A part of the frames could not be sampled: {reason}")
        return self._finalize(envelope, failure)

    async def _handle_one(self, delivery: Delivery[SegmentTask]) -> Completion:
        job_id, part = delivery.envelope.job, delivery.envelope.body.number
        told = await self._service.redis.hmget(
            self._service.names.job(job_id).metadata,
            ["request", "ended", "segments", "version", f"sampled:{part}", f"part:{part}"],
        )
        request, ended, segments, version, sampled, done = cast("list[bytes | None]", told)
        if ended or done or request is None or segments is None or version is None:
            return Completion()  # the job has ended, or this is a repetition
        division = msgspec.json.decode(segments, type=Division)
        try:
            return await self._sample(
                delivery,
                msgspec.msgpack.decode(request, type=AnalyzeRequest),
                division,
                float(version),
                division.starts[part] + int(sampled or 0),
            )
        except SourceError as error:
            log.info("source refused", error=str(error))
            await self._service.jobs.fail(job_id, str(error))
            return Completion()

    async def _sample(
        self,
        delivery: Delivery[SegmentTask],
        request: AnalyzeRequest,
        division: Division,
        version: float,
        first: int,
    ) -> Completion:
        envelope, part, service = delivery.envelope, delivery.envelope.body.number, self._service
        parts = len(division.starts)
        counter = Counter(f"sampled:{part}", counters(parts), division.starts[part], division.window)
        async with AsyncExitStack() as held:
            path = await self._run(resolve, request.video_path, service.settings.roots)
            opened = await self._run(self._opened, path, request, version, division, part, first)
            held.push_async_callback(self._run, opened.close)
            frames = Local(opened, self._pool, service.settings)
            number = await self._publisher.publish(delivery, request, frames, counter, first)
            if number is None:
                return Completion()
            await self._run(check_unchanged, path, request.video_path, version)
            if frames.warnings:
                warnings = {f"warnings:{part}": msgspec.json.encode(frames.warnings).decode()}
                await service.jobs.note(envelope.job, **warnings)
        log.info("sampled a part", part=part, parts=parts, frames=number - division.starts[part])
        further = [part + at_once(division)] if part + at_once(division) < parts else []
        return Completion(
            fan_in=service.fan_in(envelope.job, envelope.traceparent),
            part=part,
            parts=parts,
            units=number - division.starts[part],
            publish=messages(self.stream, envelope.job, envelope.traceparent, further),
        )

    def _opened(
        self, path: Path, request: AnalyzeRequest, version: float, division: Division, part: int, first: int
    ) -> Samples:
        pixels = self._service.settings.max_pixels
        return open_part(path, request, version, division, part, first, max_pixels=pixels)

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)


def counters(parts: int) -> tuple[str, ...]:
    """Fields of the record that count the samples of each part."""
    return tuple(f"sampled:{part}" for part in range(parts))


def at_once(division: Division) -> int:
    """How many parts of a job wait or run at once: each may exceed the job's window by a chunk."""
    return max(1, min(len(division.starts), division.window // CHUNK))


def messages(stream: str, job_id: str, traceparent: str, parts: Iterable[int]) -> tuple[Outgoing, ...]:
    """One a part, to be published."""
    return tuple(
        Outgoing(
            stream,
            seal("segment", job_id, f"part-{part}", SegmentTask(number=part), traceparent=traceparent),
        )
        for part in parts
    )
