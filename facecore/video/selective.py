"""Frames shown at given moments, decoding only what they depend on.

Packets are read without being decoded, so that a frame's time is known before its pixels are. From the last
keyframe before a wanted frame on, everything it may depend on is decoded; pictures that nothing depends on are
skipped by the decoder, and what lies between a wanted frame and the next keyframe is never touched. Where the
container has an index, whole stretches are not even read.

Whatever looks unusual raises `Unsure`: the caller then decodes everything, which is slower and always right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from facecore.video.sequential import Tally, frame_ticks, picture_end

FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "flv"})
"""Containers that state presentation times; elsewhere FFmpeg guesses them while decoding."""
CODECS = frozenset(
    {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores"}
)
"""Codecs in which a packet is a frame that is shown. VP8 is not among them: its alt-ref frames are not shown."""
SKIPPABLE = frozenset({"h264", "mpeg1video", "mpeg2video"})
"""Codecs whose non-reference pictures no other picture can depend on (H.264: nal_ref_idc 0, 7.4.1; MPEG: B).
In HEVC a sub-layer non-reference picture may be used by higher sub-layers."""
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
REORDER = 17
"""Pictures after a moment, in coded order, that can come before one shown at that moment: at most 16 (the size
of the decoded picture buffer in H.264, A.3.1, and HEVC, A.4.2), and one for the moment itself."""
QUEUE_BYTES = 32 << 20
"""Packets held while looking for the next keyframe; beyond that they are decoded, wanted or not."""
WORTH_A_SEEK = 1.0
"""Seconds of packets not read that pay for a seek."""

SEEK_TRIES = 3
"""Keyframes gone back to until one is shown before the moment: the index of an MP4 file knows decoding times only."""
PROGRESSIVE = frozenset({0, 1})
"""AVFieldOrder: not told, progressive. In interlaced video one field of a frame may depend on the other."""

LONGEST_WAIT = 10_000
"""Samples of one frame that the decoder still holds; damaged times can ask for any number."""

Packet: TypeAlias = "av.Packet[VideoStream]"


class Unsure(Exception):
    """The file is not as simple as it must be for frames to be left out."""


class Step(NamedTuple):
    """Packets to decode, in order, until the frame at `wanted` (a pts) has come out.

    fresh: the first packet is a keyframe that starts anew; the decoder forgets what it has.
    wanted: None when the packets only lead up to a frame of a later step.
    """

    packets: list[Packet]
    wanted: int | None
    fresh: bool


def can_select(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the file's kind allows frames to be left out."""
    return container.format.name in FORMATS and stream.codec_context.name in CODECS


def shown_selectively(
    container: InputContainer, stream: VideoStream, ticks: Iterator[int], tally: Tally
) -> Iterator[av.VideoFrame]:
    """For every tick the frame shown then, up to the end of the picture: the same as `shown_sequentially` gives.

    Raises:
        Unsure: between two frames; those before it are right.
    """
    decoder = _Decoder(stream, tally)
    steps = _Planner(container, stream).steps(ticks)
    step = next(steps, None)
    while step is not None:
        following = next(steps, None)
        decoder.feed(step, following)
        yield from decoder.arrived()
        step = following


class _Planner:
    """Reads packets ahead and decides which of them a wanted frame needs."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._indexed = container.format.name in INDEXED
        if container.format.name == "matroska,webm":
            self._go_to(stream.start_time or 0)  # loads the cues: the index
        self._packets = container.demux(stream)
        self._queue: deque[Packet] = deque()  # read, not handed out
        self._queued = 0  # bytes
        self._ahead: list[int] = []  # pts handed out since the last fresh start that may still be wanted
        self._fresh = True  # the next packet handed out starts anew
        self._ended = False
        self._last: Packet | None = None  # the one shown last of all that were read

    def steps(self, ticks: Iterator[int]) -> Iterator[Step]:
        shown: int | None = None
        for tick in ticks:
            if self._seek_pays(tick):
                yield Step([], None, fresh=True)  # all that is under way comes out: a seek resets the decoder
                self._seek(tick)
            while not self._read(tick):
                yield self._hand_out(len(self._queue) - 2 * REORDER, None)
            if self._last is None:
                return
            if self._ended and tick >= picture_end(_pts(self._last), self._last.duration, self._stream):
                return
            wanted = self._shown_at(tick, shown)
            if wanted == shown or wanted in self._ahead:
                yield Step([], wanted, fresh=False)
            else:
                count = next(n for n, packet in enumerate(self._queue, 1) if packet.pts == wanted)
                yield self._hand_out(count, wanted)
            shown = wanted

    def _read(self, tick: int) -> bool:
        """Reads until every packet of a frame up to the tick is there; False: the queue is full before that.

        Packets that an edit list leaves out do not count: what comes after a cut begins with times before it."""
        self._forget_before(tick)
        later = sum(_comes_after(packet, tick) for packet in self._queue)
        while later < REORDER and not self._ended:
            if self._queued > QUEUE_BYTES and len(self._queue) > 3 * REORDER:
                return False
            if (packet := self._next_packet()) is None:
                self._ended = True
                break
            self._queue.append(packet)
            self._queued += packet.size
            later += _comes_after(packet, tick)
            if packet.is_keyframe and _pts(packet) <= tick:
                self._forget_before(tick)
        return True

    def _next_packet(self) -> Packet | None:
        try:
            packet = next(self._packets, None)
        except FFmpegError as error:
            raise Unsure(f"the file breaks off: {error.strerror}") from error
        if packet is None or not packet.size:
            return None
        if packet.is_corrupt:
            raise Unsure("a packet is damaged")
        if not packet.is_discard and (self._last is None or _pts(packet) > _pts(self._last)):
            self._last = packet
        return packet

    def _forget_before(self, tick: int) -> None:
        """Drops what comes before the last keyframe up to the tick: the frame shown then is this one or a later
        one, and needs nothing from before."""
        keys = (
            number
            for number in range(len(self._queue) - 1, -1, -1)
            if self._queue[number].is_keyframe
            and not self._queue[number].is_discard
            and _pts(self._queue[number]) <= tick
        )
        if (key := next(keys, None)) is not None:
            for _ in range(key):
                self._queued -= self._queue.popleft().size
            self._ahead.clear()
            self._fresh = True

    def _shown_at(self, tick: int, shown: int | None) -> int:
        times = [_pts(packet) for packet in self._queue if not packet.is_discard]
        if len(set(times)) < len(times):
            raise Unsure("two frames are shown at the same time")
        times += self._ahead if shown is None else [*self._ahead, shown]
        if not times:
            raise Unsure("a stretch without any frame")
        return max((pts for pts in times if pts <= tick), default=min(times))

    def _hand_out(self, count: int, wanted: int | None) -> Step:
        packets = [self._queue.popleft() for _ in range(count)]
        self._queued -= sum(packet.size for packet in packets)
        fresh, self._fresh = self._fresh, False
        if fresh and not packets[0].is_keyframe:
            raise Unsure("the first frame is not a keyframe")
        self._ahead += [_pts(packet) for packet in packets if not packet.is_discard]
        if wanted is not None:
            self._ahead = [pts for pts in self._ahead if pts > wanted]
        return Step(packets, wanted, fresh)

    def _seek_pays(self, tick: int) -> bool:
        """Whether the index has a keyframe, up to the tick, well ahead of what was read."""
        if not self._indexed or self._ended:
            return False
        read_to = self._stream.start_time or 0 if self._last is None else _pts(self._last)
        entry = self._keyframe(tick)
        return entry is not None and (entry - read_to) * _time_base(self._stream) > WORTH_A_SEEK

    def _keyframe(self, tick: int) -> int | None:
        """Time of a keyframe in the index that is shown up to the tick, the last one but for those just before it:
        in MP4 the index has decoding times, which are earlier by the reordering of B-frames."""
        index = self._stream.index_entries
        reordering = (self._stream.codec_context.reorder_depth + 1) * frame_ticks(None, self._stream)
        number = index.search_timestamp(tick - reordering, backward=True)
        return index[number].timestamp if number >= 0 else None

    def _seek(self, tick: int) -> None:
        entry = self._keyframe(tick)
        for _ in range(SEEK_TRIES):
            if entry is None:
                break
            self._go_to(entry)
            packet = self._next_packet()
            if packet is not None and packet.is_keyframe and not packet.is_discard and _pts(packet) <= tick:
                self._queue = deque([packet])
                self._queued, self._fresh = packet.size, True
                self._ahead.clear()
                return
            entry = self._keyframe(entry - 1)
        raise Unsure("the index does not lead to keyframes")

    def _go_to(self, entry: int) -> None:
        try:
            self._container.seek(entry, stream=self._stream)
        except FFmpegError as error:
            raise Unsure(f"the file cannot be sought in: {error.strerror}") from error


class _Decoder:
    """Decodes steps and hands over the wanted frames, in order, as soon as the decoder lets go of them."""

    def __init__(self, stream: VideoStream, tally: Tally) -> None:
        self._tally = tally
        self._context = stream.codec_context
        self._skips = self._context.name in SKIPPABLE and stream.codec_context.field_order in PROGRESSIVE
        self._start: int | None = None  # pts of the keyframe that the decoder started from
        self._first_seen = True  # whether that keyframe has come out
        self._due: deque[int] = deque()  # pts of the frames to be handed over
        self._out: dict[int, av.VideoFrame] = {}
        self._shown: av.VideoFrame | None = None

    def feed(self, step: Step, following: Step | None) -> None:
        if step.fresh and step.packets:
            self._context.flush_buffers()
            self._start = None if step.packets[0].is_discard else _pts(step.packets[0])
            self._first_seen = self._start is None
        wanted = {step.wanted, None if following is None or following.fresh else following.wanted}
        for number, packet in enumerate(step.packets):
            whole = packet.pts in wanted or (step.fresh and number == 0)
            self._decode(packet, whole, wanted)
        if step.wanted is not None:
            self._due.append(step.wanted)
            if len(self._due) > LONGEST_WAIT:
                raise Unsure("a frame is shown for very long")
        if following is None or following.fresh:
            self._decode(None, True, wanted)
            if any(pts not in self._out for pts in self._due if not self._is_shown(pts)):
                raise Unsure("a frame did not come out of the decoder")

    def arrived(self) -> Iterator[av.VideoFrame]:
        while self._due and (self._is_shown(self._due[0]) or self._due[0] in self._out):
            pts = self._due.popleft()
            if not self._is_shown(pts):
                self._shown = self._out.pop(pts)
            assert self._shown is not None
            yield self._shown

    def _decode(self, packet: Packet | None, whole: bool, wanted: set[int | None]) -> None:
        if self._skips:
            self._context.skip_frame = "DEFAULT" if whole else "NONREF"
        try:
            frames = self._context.decode(packet)
        except EOFError:
            return  # drained before
        except FFmpegError as error:
            if packet is not None and self._start is not None and _pts(packet) < self._start:
                return  # leads up to the keyframe, depends on what came before it, and is never wanted
            raise Unsure(f"a packet cannot be decoded: {error.strerror}") from error
        self._tally.decoded += len(frames)
        for frame in frames:
            self._take(frame, wanted)

    def _take(self, frame: av.VideoFrame, wanted: set[int | None]) -> None:
        if frame.pts is None:
            raise Unsure("a frame has no presentation time")
        if self._start is not None and frame.pts < self._start:
            return
        if frame.is_corrupt:
            raise Unsure("a frame was decoded with errors")
        if not self._first_seen and frame.pts != self._start:
            raise Unsure("a keyframe cannot be decoded by itself")
        self._first_seen = True
        if frame.pts in wanted or frame.pts in self._due:
            self._out[frame.pts] = frame
        if self._due and frame.pts > self._due[0] not in self._out and not self._is_shown(self._due[0]):
            raise Unsure("frames come out in an unexpected order")

    def _is_shown(self, pts: int) -> bool:
        return self._shown is not None and self._shown.pts == pts


def _comes_after(packet: Packet, tick: int) -> bool:
    return _pts(packet) > tick and not packet.is_discard


def _pts(packet: Packet) -> int:
    if packet.pts is None:
        raise Unsure("a packet has no presentation time")
    return packet.pts


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1000)
