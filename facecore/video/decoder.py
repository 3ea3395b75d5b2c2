"""Frames shown at given moments: exact, and without decoding more than that takes.

The frame shown at t is the last one whose presentation time is not after t; before the first one it is the
first. Times count from the start of the video stream.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import msgspec
import structlog
from av.container import InputContainer
from av.video.stream import VideoStream

from facecore.video.animation import Animation
from facecore.video.container import describe, open_video, picture_kind, video_stream
from facecore.video.damage import Damage
from facecore.video.errors import SourceError
from facecore.video.images import read_image
from facecore.video.picture import Image, to_image
from facecore.video.sampling import Plan, VideoInfo, expected_samples, sample_times
from facecore.video.selective import Unsure, can_select, shown_selectively
from facecore.video.sequential import Tally, shown_sequentially

log = structlog.get_logger(__name__)

NANOSECOND = Fraction(1, 10**9)
"""A moment given as a float may lie a little before the frame that it means."""


SOUND_ONLY = 1.0
"""Seconds that sound may go on after the picture before that is worth mentioning."""


class SampledFrame(msgspec.Struct, frozen=True):
    """One sample: its number in the plan, its moment in seconds, the frame shown then (BGR, H x W x 3, uint8).

    Consecutive samples that show the same frame share one array.
    """

    index: int
    timestamp: float
    image: Image


def probe(path: Path, *, max_pixels: int) -> VideoInfo:
    """What the file's picture is like; a picture file is a video of one frame.

    Raises:
        SourceError: the file is missing, a directory, empty, no video, without a picture (audio only), or has
            more than `max_pixels` pixels a frame.
    """
    kind = picture_kind(path)
    if kind == "animation":
        frames = Animation(path, max_pixels)
        return VideoInfo(
            duration=frames.duration, width=frames.width, height=frames.height, fps=len(frames) / frames.duration,
            codec="webp", frames=len(frames),
        )  # fmt: skip
    if kind is not None:
        height, width = read_image(path, max_pixels).shape[:2]
        return VideoInfo(width=width, height=height, codec=kind.lower(), frames=1)
    with open_video(path) as container:
        return describe(container, video_stream(container, path, max_pixels), path)


def open_source(
    path: Path,
    plan: Plan,
    *,
    start_index: int = 0,
    end_index: int | None = None,
    max_pixels: int,
    threads: int = 1,
) -> "Samples":
    """The frames of a plan, in order of time; a picture file has one, at 0 s.

    Args:
        start_index: number of the first sample that is wanted. The numbers, moments and frames of the samples
            do not depend on it, so that interrupted work can go on where it was.
        end_index: number of the first sample that is no longer wanted; None: all that there are.
        max_pixels: the most pixels a frame may have.
        threads: threads that the decoder may use.

    Raises:
        SourceError: as `probe` does; and while iterating, when there is no frame that can be decoded.
    """
    return Samples(path, plan, start_index, end_index, max_pixels, threads)


class Samples(Iterator[SampledFrame]):
    """The samples of a file, decoded as they are asked for; to be closed when it is left early.

    Attributes:
        info: what the headers say.
        plan: which moments are sampled.
        method: "image" for a picture file, "decoder" for a video.
        strategy: "selective" while only what the samples need is decoded, "sequential" once everything is.
        expected: how many samples the whole plan has, as far as the headers tell; 0 when they do not tell.
        tally: what sampling has cost so far.
    """

    def __init__(
        self, path: Path, plan: Plan, start_index: int, end_index: int | None, max_pixels: int, threads: int
    ) -> None:
        self.info = probe(path, max_pixels=max_pixels)
        kind = picture_kind(path)
        self.method: Literal["image", "decoder"] = "decoder" if kind in (None, "animation") else "image"
        self.expected = 1 if self.method == "image" else expected_samples(plan, self.info) or 0
        self._path = path
        self.plan = plan
        self._first = start_index
        self._end = end_index
        self._max_pixels = max_pixels
        self._threads = threads
        self.strategy: Literal["selective", "sequential"] = "selective"
        self.tally = Tally()
        self._damage = Damage()
        if self.info.duration and self.info.claimed and self.info.claimed > self.info.duration + SOUND_ONLY:
            self._damage.report(
                f"the picture ends early: the file says it lasts {self.info.claimed:.1f} s",
                self.info.duration,
            )
        ways = {None: self._frames, "animation": self._animation}
        self._samples = ways.get(kind, self._picture)()

    def __next__(self) -> SampledFrame:
        return next(self._samples)

    @property
    def warnings(self) -> list[str]:
        """What has been found wrong with the file so far; empty for a sound one."""
        return self._damage.warnings

    def close(self) -> None:
        """Closes the file; iterating ends."""
        self._samples.close()

    def _picture(self) -> Generator[SampledFrame]:
        if self._first == 0:
            yield SampledFrame(0, 0.0, read_image(self._path, self._max_pixels))

    def _animation(self) -> Generator[SampledFrame]:
        animation = Animation(self._path, self._max_pixels)
        for number, t in enumerate(self._times(self._first), self._first):
            if (image := animation.shown_at(t)) is None:
                return
            yield SampledFrame(number, t, image)

    def _frames(self) -> Generator[SampledFrame]:
        times = sample_times(self.plan, self.info, self._first)
        number, previous, image = self._first, None, None
        for frame, pixel_aspect in self._decoded():
            if image is None or frame is not previous:
                self._check_size(frame)
                previous, image = frame, to_image(frame, pixel_aspect)
            yield SampledFrame(number, next(times), image)
            number += 1
        if image is None and self._first == 0:
            raise SourceError(f"{self._path} holds no frame that can be decoded.")

    def _decoded(self) -> Generator[tuple[av.VideoFrame, Fraction | None]]:
        """The frame of each sample and the shape of its pixels."""
        number = self._first
        with self._opened() as (container, stream):
            if not can_select(container, stream):
                yield from self._everything(container, stream, number)
                return
            try:
                for frame in shown_selectively(container, stream, self._ticks(stream, number), self.tally):
                    yield frame, stream.sample_aspect_ratio
                    number += 1
                return
            except Unsure as reason:
                log.debug("decoding everything", path=str(self._path), sample=number, reason=str(reason))
        with self._opened() as (container, stream):
            yield from self._everything(container, stream, number)

    def _everything(
        self, container: InputContainer, stream: VideoStream, number: int
    ) -> Generator[tuple[av.VideoFrame, Fraction | None]]:
        self.strategy = "sequential"
        ticks = self._ticks(stream, number)
        for frame in shown_sequentially(container, stream, ticks, self._damage, self.tally):
            yield frame, stream.sample_aspect_ratio

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        with open_video(self._path) as container:
            stream = video_stream(container, self._path, self._max_pixels)
            stream.codec_context.thread_count = self._threads
            stream.codec_context.thread_type = "AUTO" if self._threads > 1 else "SLICE"
            yield container, stream

    def _times(self, first: int) -> Iterator[float]:
        """The moments of the plan from number `first` on, up to the last that is wanted."""
        times = sample_times(self.plan, self.info, first)
        return times if self._end is None else islice(times, max(0, self._end - first))

    def _ticks(self, stream: VideoStream, first: int) -> Iterator[int]:
        """These moments on the stream's own clock."""
        start, time_base = stream.start_time or 0, stream.time_base or Fraction(1, 1000)
        for t in self._times(first):
            yield start + math.floor((Fraction(t) + NANOSECOND) / time_base)

    def _check_size(self, frame: av.VideoFrame) -> None:
        if frame.width * frame.height > self._max_pixels:
            raise SourceError(
                f"{self._path} grows to {frame.width} x {frame.height} pixels a frame; at most"
                f" {self._max_pixels} are allowed (FACES_MAX_PIXELS)."
            )
