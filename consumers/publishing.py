"""Frame publisher: stores sampled frames and publishes one message per frame, with back-pressure."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from consumers.job_watch import JobWatch
from consumers.runtime.stage import Delivery, LeaseLost, NotReady, Outgoing
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from consumers.sources.frames import Frame, FrameSource
from facecore.video import SourceError
from schemas.envelope import Envelope, seal_next
from schemas.messages import FrameTask
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Enhancement, Parameters
from schemas.settings import Settings
from schemas.store.fair_queue import FRAMES_CREDIT, room

PRIORITY_FACTOR: dict[Priority, float] = {"high": 2.0, "normal": 1.0, "low": 0.25}
"""Factor on the jobs that a worker samples at the same time, and on the window of frames in flight of each."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 0.15
"""Shortest and longest pause before a job without room is checked again. A job of another caller waits as long for
its place in the worker."""
PAUSE_FACTOR = 1.5
"""The pause grows by it with each check that finds no room, and shrinks by it with each that finds some: so most
checks find room."""
FRAMES_PER_CHECK = 8
"""Most frames that a job publishes before its room is checked again."""

GIVE_WAY_SECONDS = 1.0
"""Pause of a job that has given its place in a frames worker to one of another caller."""


class SampleCounter(msgspec.Struct, frozen=True):
    """Counts the samples of a job, or of one part of a long film, in the job record.

    Attributes:
        field: field of the record that counts the samples of this part, or of the job.
        all: the fields whose sum is the number of samples of the job.
        start: index in the job of the first sample counted by ``field``.
        window: frames of the job that may be in flight; each running part may exceed it by a chunk.
    """

    field: str
    all: tuple[str, ...]
    start: int
    window: int


class _Pace:
    """Room of a job as it was found last, less what was published since.

    Attributes:
        room: frames that may be published.
        unchecked: frames that may be published before the next check.
        pause: seconds before a check that is expected to find no room.
    """

    def __init__(self) -> None:
        self.room, self.unchecked, self.pause = 1, 0, FIRST_POLL_SECONDS

    def found(self, room: int) -> None:
        """Notes what a check has found."""
        factor = 1 / PAUSE_FACTOR if room > 0 else PAUSE_FACTOR
        self.pause = min(MAX_POLL_SECONDS, max(FIRST_POLL_SECONDS, self.pause * factor))
        self.room, self.unchecked = room, min(room, FRAMES_PER_CHECK)

    def published(self, frames: int) -> None:
        """Notes frames."""
        self.room -= frames
        self.unchecked -= frames


class FramePublisher:
    """Publishes frames to the analyze stage while the windows of their jobs and the streams have room.

    Args:
        watch: stops reading and decoding for a job that has ended.
        source: stream that the jobs, or parts of them, are read from.
    """

    def __init__(self, service: Service, watch: JobWatch, source: str) -> None:
        self._service = service
        self._watch = watch
        self._source = source
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
        """Publishes the frames from index ``first`` on, waiting for room.

        Returns:
            The index after the last frame; None when the job's run is over, for example by cancellation.

        Raises:
            SourceError: the source cannot be decoded, or has more frames than `Settings.max_frames`.
            JobEnded: the job ended while its frames were read or decoded.
            NotReady: a job of another caller waits for this worker.
        """
        number, downloaded, pace = first, "://" in request.video_path, _Pace()
        while chunk := await self._next_chunk(delivery.envelope, frames):
            turn = None if downloaded else number - first
            if not await self._has_room(delivery.envelope, counter, _largest(chunk), turn, pace):
                return None
            if not await self._publish(delivery, request, chunk, frames.expected, counter):
                return None
            pace.published(len(chunk))
            number = chunk[-1].index + 1
            self.check_number(request, number)
        return number

    async def _next_chunk(self, envelope: Envelope[Any], frames: FrameSource) -> list[Frame]:
        async with self._watch.until_ended(envelope):
            return await frames.next_chunk()

    def check_number(self, request: AnalyzeRequest, samples: int) -> None:
        """Raises SourceError when a job has more frames than the service allows."""
        limit = self._service.settings.max_frames
        if samples > limit:
            raise SourceError(
                f"{request.video_path} has {samples} frames at this sampling; the limit is {limit}"
                " (FACES_MAX_FRAMES). Request a longer sampling_interval."
            )

    async def _has_room(
        self, envelope: Envelope[Any], counter: SampleCounter, size: int, turn: int | None, pace: _Pace
    ) -> bool:
        """Waits until this job, its caller, and all jobs together may have more frames in flight; False: its run is
        over.

        The more frames of all jobs are under way, the fewer of one caller may wait (dynamic thresholds: Choudhury and
        Hahne, 1998), so that there is always room for another one.

        Args:
            size: bytes of a frame; the other frames of the job are assumed to be as large.
            turn: frames that the worker has published in this turn of the job; None when it does not give way.
        """
        service, names = self._service, self._service.names
        window = min(counter.window, max(1, service.settings.job_window_bytes // max(1, size)))
        share, high_water = service.share(envelope, FRAMES_CREDIT), service.settings.frames_high_water
        frames = (names.frames, names.express, names.urgent)
        while pace.unchecked <= 0:
            if pace.room <= 0:
                await asyncio.sleep(pace.pause)
            found = await room(
                service.redis, names.job(envelope.job), self._source, frames, share, counter.all
            )
            if not found.run or not envelope.is_of(found.run):
                return False
            pace.found(min(window - found.own, high_water - found.all - found.waiting))
            if turn is not None and found.contended and (turn >= counter.window or pace.room <= 0):
                raise NotReady(GIVE_WAY_SECONDS, "a job of another caller waits for this worker")
        return True

    async def _publish(
        self,
        delivery: Delivery[Any],
        request: AnalyzeRequest,
        chunk: Sequence[Frame],
        expected: int,
        counter: SampleCounter,
    ) -> bool:
        """Stores and publishes a chunk of frames; False: the job's run is over."""
        envelope, names, settings = delivery.envelope, self._service.names, self._service.settings
        parameters, messages = request.parameters, []
        share = self._service.share(envelope, FRAMES_CREDIT)
        pictures = [(str(f.index), f.picture) for f in chunk if isinstance(f.picture, bytes)]
        stored, hashes = await self._store.prepare(envelope.job, envelope.run, pictures)
        locations = iter(stored)
        for frame in chunk:
            location = next(locations) if isinstance(frame.picture, bytes) else frame.picture
            task = FrameTask(
                index=frame.index,
                timestamp=frame.timestamp,
                frame=location,
                source=request.video_path,
                min_confidence=parameters.min_confidence
                if parameters.min_confidence is not None
                else settings.min_confidence,
                enhancement=resolved_enhancement(parameters, settings),
                display=frame.display,
            )
            message = seal_next(envelope, "frame", str(frame.index), task)
            stream = names.frames_of(request.priority, frame.index, expected)
            messages.append(Outgoing(stream, message, share))
        count = {counter.field: chunk[-1].index + 1 - counter.start}
        unpublished = [(envelope.job, location) for location in stored]
        try:
            published = await delivery.publish(messages, names.job(envelope.job).metadata, count, hashes)
        except LeaseLost:
            await self._store.delete(unpublished)
            raise
        if not published:
            await self._store.delete(unpublished)
        return published


def _largest(chunk: Sequence[Frame]) -> int:
    """Returns the bytes of the largest picture of a chunk that goes into the frame store."""
    return max((len(frame.picture) for frame in chunk if isinstance(frame.picture, bytes)), default=0)


def resolved_enhancement(parameters: Parameters, settings: Settings) -> Enhancement | None:
    """Returns the enhancement of a request with its defaults filled in; None when nothing is to be enhanced."""
    enhancement = parameters.enhancement
    if not enhancement.enabled or parameters.use_sprites:
        return None
    trigger = enhancement.quality_trigger
    trigger = settings.quality_trigger if trigger is None else trigger
    return msgspec.structs.replace(enhancement, quality_trigger=trigger)
