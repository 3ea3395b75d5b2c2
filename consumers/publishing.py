"""From sampled frames to messages: stored, published, and never too many of one job under way."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from consumers.runtime.stage import Delivery, Outgoing
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from consumers.sources.frames import Frame, FrameSource
from facecore.video import SourceError
from schemas.envelope import seal
from schemas.messages import FrameTask
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Enhancement, Parameters
from schemas.settings import Settings

PRIORITY_FACTOR: dict[Priority, float] = {"high": 2.0, "normal": 1.0, "low": 0.25}
"""By how much the jobs that a worker samples at once, and the frames of each under way, differ by priority."""
PAUSE = 0.05
"""Seconds between looks at a job whose window is full; grows to ten times as much."""


class SampleCounter(msgspec.Struct, frozen=True):
    """How the samples of a job are counted in its record.

    Attributes:
        field: where the samples of this piece of work are counted.
        all: the fields that add up to the samples of the job.
        start: number in the job of the first sample of this piece.
        window: frames of the job that may be under way; each piece at work may exceed it by a chunk.
    """

    field: str
    all: tuple[str, ...]
    start: int
    window: int


class FramePublisher:
    """Publishes the frames of jobs to the analyze stage."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = FrameStore(
            service.redis,
            service.names,
            ttl=service.settings.frame_ttl,
            directory=service.settings.frame_store,
        )

    async def publish(
        self,
        delivery: Delivery[Any],
        request: AnalyzeRequest,
        frames: FrameSource,
        counter: SampleCounter,
        first: int,
    ) -> int | None:
        """Publishes all frames from number ``first`` of the job on, as room for them comes; returns the number after
        the last one, None when the job was cancelled or has ended in another way.

        Raises:
            SourceError: the source cannot be decoded, or has more frames than are allowed.
        """
        number = first
        while chunk := await frames.next_chunk():
            if not await self._has_room(delivery.envelope.job, counter, _largest(chunk)):
                return None
            number = await self._publish(delivery, request, chunk, frames.expected, counter)
            self.check_number(request, number)
        return number

    def check_number(self, request: AnalyzeRequest, samples: int) -> None:
        limit = self._service.settings.max_frames
        if samples > limit:
            raise SourceError(
                f"{request.video_path} gives {samples} frames at this sampling; at most {limit} are allowed"
                " (FACES_MAX_FRAMES)."
            )

    async def _has_room(self, job_id: str, counter: SampleCounter, size: int) -> bool:
        """Waits until few enough frames of this job, and of all jobs, are under way; False: the job has ended.

        Args:
            size: bytes of a frame, as which the others of the job count too.
        """
        service, keys, pause = self._service, self._service.names.job(job_id), PAUSE
        window = min(counter.window, max(1, service.settings.job_window_bytes // max(1, size)))
        while True:
            async with service.redis.pipeline(transaction=False) as pipe:
                pipe.hmget(keys.metadata, ["request", "ended", *counter.all])
                pipe.hlen(keys.outcomes)
                for stream in (service.names.frames, service.names.express, service.names.urgent):
                    pipe.xlen(stream)
                (known, ended, *counts), done, *waiting = await pipe.execute()
            if ended or not known:
                return False
            sampled = sum(int(count or 0) for count in counts)
            if sampled - done < window and sum(waiting) < service.settings.frames_high_water:
                return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PAUSE * 10)

    async def _publish(
        self,
        delivery: Delivery[Any],
        request: AnalyzeRequest,
        chunk: Sequence[Frame],
        expected: int,
        counter: SampleCounter,
    ) -> int:
        """Stores and publishes some frames; returns the number after the last one."""
        envelope, names, settings = delivery.envelope, self._service.names, self._service.settings
        parameters, messages = request.parameters, []
        pictures = [(str(f.index), f.picture) for f in chunk if isinstance(f.picture, bytes)]
        stored = iter(await self._store.put_many(envelope.job, pictures))
        for frame in chunk:
            where = next(stored) if isinstance(frame.picture, bytes) else frame.picture
            task = FrameTask(
                index=frame.index,
                timestamp=frame.timestamp,
                frame=where,
                source=request.video_path,
                min_confidence=parameters.min_confidence
                if parameters.min_confidence is not None
                else settings.min_confidence,
                demographics=parameters.detect_demographics,
                enhancement=resolved_enhancement(parameters, settings),
            )
            message = seal("frame", envelope.job, str(frame.index), task, traceparent=envelope.traceparent)
            messages.append(Outgoing(names.frames_of(request.priority, frame.index, expected), message))
        number = chunk[-1].index + 1
        counted = {counter.field: number - counter.start}
        await delivery.publish(messages, names.job(envelope.job).metadata, counted)
        return number


def _largest(chunk: Sequence[Frame]) -> int:
    """Bytes of the largest picture that goes into the frame store."""
    return max((len(frame.picture) for frame in chunk if isinstance(frame.picture, bytes)), default=0)


def resolved_enhancement(parameters: Parameters, settings: Settings) -> Enhancement | None:
    """What the analyze stage needs to know of the enhancement; None when none is wanted."""
    wanted = parameters.enhancement
    if not wanted.enabled or parameters.use_sprites:
        return None
    trigger = settings.quality_trigger if wanted.quality_trigger is None else wanted.quality_trigger
    return msgspec.structs.replace(wanted, quality_trigger=trigger)
