"""Frames shown at given moments, by decoding everything: what the selective way must equal.

Moments here are ticks: whole numbers of the stream's time base, on the stream's own clock.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from facecore.video.damage import Damage

ASSUMED_FRAME = Fraction(1, 25)
"""Seconds a frame lasts in a file that tells neither durations nor a rate."""
TELL_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi"})
"""Containers with a duration for each stream."""


class Tally:
    """What sampling a file has cost.

    Attributes:
        decoded: frames that came out of the decoder, wanted or not.
    """

    def __init__(self) -> None:
        self.decoded = 0


def shown_sequentially(
    container: InputContainer, stream: VideoStream, ticks: Iterator[int], damage: Damage, tally: Tally
) -> Iterator[av.VideoFrame]:
    """For every tick the frame shown then, up to the end of the picture."""
    shown: av.VideoFrame | None = None
    shown_pts = 0
    tick = next(ticks, None)
    clock = Clock(container, stream)
    for frame in _decoded(container, stream, damage):
        tally.decoded += 1
        pts = clock.read(frame)
        if shown is not None and pts < shown_pts:
            damage.report("a frame's time lies before the one before it", seconds(shown_pts, stream))
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


def picture_end(last_pts: int, duration: int | None, stream: VideoStream) -> int:
    """The tick at which the last frame goes: after its duration, unless the stream says that it ends before."""
    end = last_pts + frame_ticks(duration, stream)
    if (told := told_duration(stream)) is not None:
        end = min(end, (stream.start_time or 0) + told)
    return max(end, last_pts + 1)


def told_duration(stream: VideoStream) -> int | None:
    """Ticks that the video lasts, where the file tells; elsewhere FFmpeg guesses, or counts the sound in."""
    return stream.duration or None if stream.container.format.name in TELL_DURATION else None


def frame_ticks(duration: int | None, stream: VideoStream) -> int:
    """How long a frame is shown: as it says, else as the frame rate says; at least one tick."""
    if duration:
        return duration
    rate = stream.average_rate or stream.guessed_rate
    length = 1 / rate if rate else ASSUMED_FRAME
    return max(1, round(length / (stream.time_base or Fraction(1, 1000))))


class Clock:
    """Tells when the frames of a stream are shown, as ticks, in the order in which they come out of the decoder.

    AVI has no presentation times, and what FFmpeg makes up for B-frames is wrong. There the packet that brought
    a frame out tells its place, and the first frame is the start.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._by_packets = container.format.name == "avi"
        self._offset: int | None = None
        self._next = stream.start_time or 0  # for a frame without any time: right after the one before

    def read(self, frame: av.VideoFrame) -> int:
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
    """A tick as seconds from the start of the stream."""
    return float((tick - (stream.start_time or 0)) * (stream.time_base or 0))


def _decoded(container: InputContainer, stream: VideoStream, damage: Damage) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded, whatever lies between them."""
    near: int | None = None

    def report(fault: str) -> None:
        damage.report(fault, None if near is None else seconds(near, stream))

    for packet in _packets(container, stream, damage):
        if packet is not None and packet.pts is not None:
            near = packet.pts
        if packet is not None and packet.is_corrupt:
            report("the file has gaps or ends early")
        try:
            frames = stream.codec_context.decode(packet)
        except EOFError:
            continue  # asked to flush what was flushed already
        except FFmpegError as error:
            report(f"a part could not be decoded ({error.strerror})")
            continue
        for frame in frames:
            if frame.is_corrupt:
                report("a frame was decoded with errors")
            yield frame


def _packets(
    container: InputContainer, stream: VideoStream, damage: Damage
) -> Iterator["av.Packet[VideoStream] | None"]:
    """The packets of the stream, then None; a file that breaks off ends where it breaks."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except FFmpegError as error:
        damage.report(f"the file could not be read to its end ({error.strerror})", None)
    yield None
