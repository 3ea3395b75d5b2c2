"""Samples a video, picture or animation: the frames shown at given times, decoding as little as possible.

The frame shown at time t is the last one with a presentation time of at most t; before the first frame it is the
first. Times count from the start of the video stream; the timestamps of samples are those of a player, which counts
from the start of the sound where that is earlier.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import islice
from os import PathLike
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
from facecore.video.joined import parts_of, transport_parts_of
from facecore.video.packets import CannotSelect
from facecore.video.picture import Image, shown_width, to_image
from facecore.video.properties import described, probe
from facecore.video.sampling import Plan, Timestamps, VideoInfo, expected_samples, sample_times
from facecore.video.selective import can_rewind, can_select, shown_selectively
from facecore.video.sequential import Tally, shown_sequentially
from facecore.video.stereo import one_view
from facecore.video.timeline import RESET

log = structlog.get_logger(__name__)

_Reader = tuple[InputContainer, VideoStream]

NANOSECOND = Fraction(1, 10**9)
"""Added to sample times: the float of a frame's own time may be slightly too small."""

MAX_AUDIO_OVERHANG_SECONDS = 1.0
"""Audio may be longer than the video by this much without a warning."""


STEREOSCOPIC = "the film is stereoscopic ({}): one of its two views is analysed"


class SampledFrame(msgspec.Struct, frozen=True):
    """One sample. Consecutive samples that show the same frame share one array.

    Attributes:
        index: number of the sample in the plan.
        timestamp: seconds, as a player shows them.
        image: the frame shown then, (H, W, 3) BGR bytes.
    """

    index: int
    timestamp: float
    image: Image


def open_source(
    path: PathLike[str],
    plan: Plan,
    *,
    start_index: int = 0,
    end_index: int | None = None,
    info: VideoInfo | None = None,
    max_pixels: int,
    threads: int = 1,
) -> "Samples":
    """Opens a file to iterate over the samples of a plan in order of time; a picture file has one sample, at 0 s.

    Args:
        start_index: number of the first sample to return. Numbers, times and frames of the samples do not depend on
        it,
            so that interrupted work can be resumed.
        end_index: number of the sample to stop before; None: no limit.
        info: properties of the file, from `probe`; None: they are read.
        max_pixels: limit of the pixels of a frame.
        threads: threads for the decoder.

    Raises:
        SourceError: as `probe`; also while iterating, if no frame can be decoded.
    """
    return Samples(path, plan, start_index, end_index, info, max_pixels, threads)


class Samples(Iterator[SampledFrame]):
    """Iterates over the samples of a file, decoding on demand; must be closed if iteration stops early.

    Attributes:
        info: properties of the file.
        plan: the sampled times.
        method: "image" for a picture file, "decoder" for a video.
        strategy: "selective" while only required frames are decoded, "sequential" after the fallback to all frames.
        expected: number of samples of the whole plan according to the headers; 0: unknown.
        tally: decoding work so far.
    """

    def __init__(
        self,
        path: PathLike[str],
        plan: Plan,
        start_index: int,
        end_index: int | None,
        info: VideoInfo | None,
        max_pixels: int,
        threads: int,
    ) -> None:
        self._reader: _Reader | None = None  # that read the properties, and can be used for the samples
        self._path = path
        self._max_pixels = max_pixels
        self._threads = threads
        kind = picture_kind(path)
        self._parts = parts_of(path) if kind is None else []
        if info is not None or kind is not None or self._parts:
            self.info = info or probe(path, max_pixels=max_pixels)
            if not self._parts and not self.info.is_continuous:
                self._parts = transport_parts_of(path)
        else:
            self.info, self._parts = described(path, self._describe, max_pixels)
        self.method: Literal["image", "decoder"] = "decoder" if kind in (None, "animation") else "image"
        self.expected = 1 if self.method == "image" else expected_samples(plan, self.info) or 0
        self.plan = plan
        self._first = start_index
        self._end = end_index
        self.strategy: Literal["selective", "sequential"] = "selective"
        self.tally = Tally()
        self._damage = Damage()
        self._is_stereoscopic = False
        if (
            self.info.duration
            and self.info.claimed
            and self.info.claimed > self.info.duration + MAX_AUDIO_OVERHANG_SECONDS
        ):
            self._damage.report(
                f"the video stream ends before the {self.info.claimed:.1f} s that the file states",
                self.info.duration,
            )
        readers = {None: self._of_parts if self._parts else self._frames, "animation": self._animation}
        self._samples = readers.get(kind, self._picture)()

    def __next__(self) -> SampledFrame:
        return next(self._samples)

    @property
    def warnings(self) -> list[str]:
        """Returns the faults found in the file so far."""
        return self._damage.warnings

    def close(self) -> None:
        """Closes the file and ends the iteration."""
        self._samples.close()
        if self._reader is not None:
            self._reader[0].close()

    def _describe(self) -> VideoInfo:
        """Returns the properties of the file; keeps it open where it can be read from the start again exactly."""
        container, stream = self._open()
        try:
            info = describe(container, stream, self._path)
            if info.is_continuous and can_select(container, stream) and can_rewind(container):
                self._reader = container, stream
            return info
        finally:
            if self._reader is None:
                container.close()

    def _picture(self) -> Generator[SampledFrame]:
        if self._first == 0:
            yield SampledFrame(0, 0.0, read_image(self._path, self._max_pixels))

    def _animation(self) -> Generator[SampledFrame]:
        animation = Animation(self._path, self._max_pixels)
        for number, t in enumerate(self._times(self._first), self._first):
            if (image := animation.shown_at(t)) is None:
                return
            yield SampledFrame(number, t, image)

    def _of_parts(self) -> Generator[SampledFrame]:
        """Yields the samples of a joined film, of one part after the other."""
        times, number, end = self._times(self._first), self._first, 0.0
        t, image = next(times, None), None
        for part in self._parts:
            start, mine = end, list[float]()
            try:
                info = probe(part, max_pixels=self._max_pixels)
            except SourceError as error:
                self._damage.report(f"a part of the joined file is left out: {error}", start)
                continue
            end += info.duration or 0.0
            while t is not None and t < end:
                mine.append(t)
                t = next(times, None)
            if start:
                self._damage.report(RESET, start)
            plan = Timestamps(tuple(max(0.0, at - start) for at in mine))
            with closing(Samples(part, plan, 0, None, info, self._max_pixels, self._threads)) as samples:
                for at in mine:
                    sample = next(samples, None)
                    image = image if sample is None else sample.image
                    if image is None:
                        raise SourceError(f"{self._path} has no frame that can be decoded: it is damaged.")
                    yield SampledFrame(number, round(at + self.info.lead, 9), image)
                    number += 1
            for warning in samples.warnings:
                self._damage.report(warning, None)

    def _frames(self) -> Generator[SampledFrame]:
        times = sample_times(self.plan, self.info, self._first)
        number, previous, image, codec = self._first, None, None, self.info.codec
        for frame, pixel_aspect in self._decoded():
            if image is None or frame is not previous:
                self._check_size(frame, pixel_aspect)
                image, layout = one_view(frame, to_image(frame, pixel_aspect, codec), codec)
                previous = frame
                if layout is not None and not self._is_stereoscopic:
                    self._is_stereoscopic = True
                    self._damage.report(STEREOSCOPIC.format(layout), None)
            yield SampledFrame(number, round(next(times) + self.info.lead, 9), image)
            number += 1
        if image is None and self._first == 0:
            raise SourceError(
                f"{self._path} has no frame that can be decoded: the file is damaged or incomplete."
            )

    def _decoded(self) -> Generator[tuple[av.VideoFrame, Fraction | None]]:
        """Yields the frame of each sample and its pixel aspect ratio."""
        number = self._first
        with self._opened(self._reader) as (container, stream):
            self._reader = None
            if not self.info.is_continuous or not can_select(container, stream):
                yield from self._sequential(container, stream, number)
                return
            try:
                for frame in shown_selectively(container, stream, self._ticks(stream, number), self.tally):
                    yield frame, stream.sample_aspect_ratio
                    number += 1
                return
            except CannotSelect as reason:
                log.debug(
                    "selective decoding abandoned", path=str(self._path), sample=number, reason=str(reason)
                )
        with self._opened() as (container, stream):
            yield from self._sequential(container, stream, number)

    def _sequential(
        self, container: InputContainer, stream: VideoStream, number: int
    ) -> Generator[tuple[av.VideoFrame, Fraction | None]]:
        self.strategy = "sequential"
        ticks = self._ticks(stream, number)
        for frame in shown_sequentially(container, stream, ticks, self._damage, self.tally, self.info.held):
            yield frame, stream.sample_aspect_ratio

    @contextmanager
    def _opened(self, reader: _Reader | None = None) -> Iterator[_Reader]:
        container, stream = reader or self._open()
        with container:
            yield container, stream

    def _open(self) -> _Reader:
        container = open_video(self._path)
        try:
            stream = video_stream(container, self._path, self._max_pixels)
        except SourceError:
            container.close()
            raise
        stream.codec_context.thread_count = self._threads
        stream.codec_context.thread_type = "AUTO" if self._threads > 1 else "SLICE"
        return container, stream

    def _times(self, first: int) -> Iterator[float]:
        """Yields the times of the plan from number ``first`` up to the end index."""
        times = sample_times(self.plan, self.info, first)
        return times if self._end is None else islice(times, max(0, self._end - first))

    def _ticks(self, stream: VideoStream, first: int) -> Iterator[int]:
        """Yields these times in ticks of the stream."""
        start = (stream.start_time or 0) if self.info.start is None else self.info.start
        time_base = stream.time_base or Fraction(1, 1000)
        for t in self._times(first):
            yield start + math.floor((Fraction(t) + NANOSECOND) / time_base)

    def _check_size(self, frame: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        width = max(frame.width, shown_width(frame.width, pixel_aspect))
        if width * frame.height > self._max_pixels:
            raise SourceError(
                f"{self._path} changes its frame size to {width} x {frame.height} pixels; at most"
                f" {self._max_pixels} are allowed (FACES_MAX_PIXELS)."
            )
