"""Sequential sampling: decodes every frame. The reference for selective decoding, which must give the same frames.

Times here are ticks: integers in units of the stream's time base.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from facecore.video.damage import Damage
from facecore.video.demuxing import packets_of
from facecore.video.memory import raise_if_short
from facecore.video.scans import check_packet
from facecore.video.timeline import continuous, limits_of

DEFAULT_FRAME_SECONDS = Fraction(1, 25)
"""Duration of a frame in a file that states neither durations nor a frame rate."""
FORMATS_WITH_STREAM_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi"})
"""Containers that state a duration for each stream."""


class Tally:
    """Counts the decoding work for the samples of a file.

    Attributes:
        decoded: frames decoded, including those that are no samples.
    """

    def __init__(self) -> None:
        self.decoded = 0


def shown_sequentially(
    container: InputContainer,
    stream: VideoStream,
    ticks: Iterator[int],
    damage: Damage,
    tally: Tally,
    held: int | None = None,
) -> Iterator[av.VideoFrame]:
    """Yields the frame shown at each tick, up to the end of the video.

    Args:
        held: most ticks between two frames that are no jump; None: as usual for the container.
    """
    shown: av.VideoFrame | None = None
    shown_pts = 0
    tick = next(ticks, None)
    for pts, frame in _timed(container, stream, damage, tally, held):
        if shown is not None and pts < shown_pts:
            damage.report("a frame has an earlier time than the frame before it", seconds(shown_pts, stream))
            continue
        while shown is not None and tick is not None and tick < pts:
            yield shown
            tick = next(ticks, None)
        if tick is None:
            return
        shown, shown_pts = frame, pts
    if shown is None:
        return
    end = picture_end(shown_pts, shown.duration, stream)
    while tick is not None and tick < end:
        yield shown
        tick = next(ticks, None)


def _timed(
    container: InputContainer, stream: VideoStream, damage: Damage, tally: Tally, held: int | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields every frame that can be decoded with its time on the film's clock; reports discontinuities."""
    clock = Clock(container, stream)

    def frames() -> Iterator[tuple[int, int, av.VideoFrame]]:
        for frame in _decoded(container, stream, damage):
            tally.decoded += 1
            yield clock.read(frame), frame_ticks(frame.duration, stream), frame

    if container.format.name == "avi":  # it has no timestamps, only a number for each frame
        return ((pts, frame) for pts, _, frame in frames())
    limits = limits_of(container.format.name, stream.time_base, held)
    return continuous(frames(), limits, lambda fault, at: damage.report(fault, seconds(at, stream)))


def picture_end(last_pts: int, duration: int | None, stream: VideoStream) -> int:
    """Returns the tick at which the last frame ends: after its duration, or at the end that the stream states if
    that is earlier."""
    end = last_pts + frame_ticks(duration, stream)
    if (ticks := stream_duration(stream)) is not None:
        end = min(end, (stream.start_time or 0) + ticks)
    return max(end, last_pts + 1)


def stream_duration(stream: VideoStream) -> int | None:
    """Returns the duration of the stream in ticks if the container states it; elsewhere FFmpeg's value is a guess or
    includes audio."""
    return stream.duration or None if stream.container.format.name in FORMATS_WITH_STREAM_DURATION else None


def frame_ticks(duration: int | None, stream: VideoStream) -> int:
    """Returns the duration of a frame in ticks: its own, else by the frame rate; at least 1."""
    if duration:
        return duration
    rate = stream.average_rate or stream.guessed_rate
    length = 1 / rate if rate else DEFAULT_FRAME_SECONDS
    return max(1, round(length / (stream.time_base or Fraction(1, 1000))))


class Clock:
    """Computes the presentation times of decoded frames, in ticks; frames are passed in decoding output order.

    AVI has no presentation times, and those that FFmpeg computes for B-frames are wrong. There the time is that of
    the packet after which the decoder returned the frame, counted from the first frame.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._by_packets = container.format.name == "avi"
        self._offset: int | None = None
        self._next = stream.start_time or 0  # for a frame without a time: the end of the previous one

    def read(self, frame: av.VideoFrame) -> int:
        """Returns the presentation time of the next frame."""
        time = frame.dts if self._by_packets or frame.pts is None else frame.pts
        if time is None:
            time = self._next
        elif self._by_packets:
            if self._offset is None:
                self._offset = (self._stream.start_time or 0) - time
            time += self._offset
        self._next = time + frame_ticks(frame.duration, self._stream)
        return time


def seconds(tick: int, stream: VideoStream) -> float:
    """Converts a tick to seconds from the start of the stream."""
    return float((tick - (stream.start_time or 0)) * (stream.time_base or 0))


def _decoded(container: InputContainer, stream: VideoStream, damage: Damage) -> Iterator[av.VideoFrame]:
    """Yields every frame that can be decoded; reports damage and continues after it."""
    near: int | None = None

    def report(fault: str) -> None:
        damage.report(fault, None if near is None else seconds(near, stream))

    for packet in _packets(container, stream, damage):
        if packet is not None and packet.pts is not None:
            near = packet.pts
        if packet is not None and packet.is_corrupt:
            report("the file has gaps or ends early")
        if packet is not None:
            check_packet(packet)
        try:
            frames = stream.codec_context.decode(packet)
        except EOFError:
            continue  # the decoder was flushed before
        except FFmpegError as error:
            raise_if_short(error)
            report(f"a packet could not be decoded ({error.strerror})")
            continue
        for frame in frames:
            if frame.is_corrupt:
                report("a frame was decoded with errors")
            yield frame


def _packets(
    container: InputContainer, stream: VideoStream, damage: Damage
) -> Iterator["av.Packet[VideoStream] | None"]:
    """Yields the packets of the stream, then None to flush the decoder; reports a read error and ends there."""
    try:
        for packet in packets_of(container, stream):
            if packet.size:
                yield packet
    except FFmpegError as error:
        raise_if_short(error)
        damage.report(f"the file could not be read to its end ({error.strerror})", None)
    yield None
