"""Chooses the packets that must be decoded to show the frames at given times, without decoding any.

Packets are read ahead, so that a frame's time is known before its pixels are. From the last keyframe before a
required frame on, every packet that it may depend on is handed out; packets between a required frame and the next
keyframe are dropped. Where the container has an index, whole stretches are skipped by seeking.
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

from facecore.video.demuxing import packets_of
from facecore.video.memory import raise_if_short
from facecore.video.sequential import frame_ticks, picture_end
from facecore.video.timeline import INDEXED_FORMATS

MAX_REORDERED = 17
"""Pictures that can follow one in coded order and precede it in display order, plus one: the decoded picture buffer
has at most 16 pictures (H.264, A.3.1; HEVC, A.4.2)."""
MAX_QUEUE_BYTES = 32 << 20
"""Packets held while searching for the next keyframe; beyond that they are handed out for decoding."""
MIN_SEEK_SECONDS = 1.0
"""A seek costs less than reading this much video."""
SEEK_TRIES = 3
"""Keyframes to go back until one is displayed before the time: the index of an MP4 file has decoding times only."""

Packet: TypeAlias = "av.Packet[VideoStream]"


class CannotSelect(Exception):
    """The file has an unusual structure, so that all frames must be decoded; the text is the reason."""


class Step(NamedTuple):
    """Packets to decode, in order, to obtain one frame.

    Attributes:
        packets: possibly none.
        target: presentation time of the frame in ticks; None: the packets only prepare a later step.
        restart: the first packet is a keyframe that decoding restarts from; the decoder's state is discarded.
    """

    packets: list[Packet]
    target: int | None
    restart: bool


class PacketPlanner:
    """Reads packets ahead and decides which of them a required frame depends on."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._indexed = container.format.name in INDEXED_FORMATS
        if self._indexed:
            self._seek_to(stream.start_time or 0)  # to the start; loads the index of Matroska (cues)
        self._packets = packets_of(container, stream)
        self._queue: deque[Packet] = deque()  # read but not handed out
        self._queued = 0  # bytes
        self._ahead: list[int] = []  # pts handed out since the last restart that may still be required
        self._restart = True  # the next packet handed out restarts the decoder
        self._ended = False
        self._last: Packet | None = None  # of all packets read, the one displayed last

    def steps(self, ticks: Iterator[int]) -> Iterator[Step]:
        """Yields the steps that give the frame shown at each tick, up to the end of the video.

        Raises:
            CannotSelect: the structure is unusual; earlier steps are correct.
        """
        shown: int | None = None
        for tick in ticks:
            if self._seek_pays(tick):
                yield Step([], None, restart=True)  # drains the decoder, which a seek resets
                self._seek(tick)
            while not self._read(tick):
                yield self._hand_out(len(self._queue) - 2 * MAX_REORDERED, None)
            if self._last is None:
                return
            if self._ended and tick >= picture_end(pts_of(self._last), self._last.duration, self._stream):
                return
            target = self._shown_at(tick, shown)
            if target == shown or target in self._ahead:
                yield Step([], target, restart=False)
            else:
                count = next(n for n, packet in enumerate(self._queue, 1) if packet.pts == target)
                yield self._hand_out(count, target)
            shown = target

    def _read(self, tick: int) -> bool:
        """Reads until no further packet can be displayed up to the tick; False: the queue is full before that.

        Packets that an edit list discards do not count: after a cut, packets have earlier times than the cut.
        """
        self._drop_before(tick)
        later = sum(_comes_after(packet, tick) for packet in self._queue)
        while later < MAX_REORDERED and not self._ended:
            if self._queued > MAX_QUEUE_BYTES and len(self._queue) > 3 * MAX_REORDERED:
                return False
            if (packet := self._next_packet()) is None:
                self._ended = True
                break
            self._queue.append(packet)
            self._queued += packet.size
            later += _comes_after(packet, tick)
            if packet.is_keyframe and pts_of(packet) <= tick:
                self._drop_before(tick)
        return True

    def _next_packet(self) -> Packet | None:
        try:
            packet = next(self._packets, None)
        except FFmpegError as error:
            raise_if_short(error)
            raise CannotSelect(f"the file is truncated: {error.strerror}") from error
        if packet is None or not packet.size:
            return None
        if packet.is_corrupt:
            raise CannotSelect("a packet is damaged")
        if not packet.is_discard and (self._last is None or pts_of(packet) > pts_of(self._last)):
            self._last = packet
        return packet

    def _drop_before(self, tick: int) -> None:
        """Drops the packets before the last keyframe up to the tick; the frame shown then does not depend on them."""
        keys = (
            number
            for number in range(len(self._queue) - 1, -1, -1)
            if self._queue[number].is_keyframe
            and not self._queue[number].is_discard
            and pts_of(self._queue[number]) <= tick
        )
        if (key := next(keys, None)) is not None:
            for _ in range(key):
                self._queued -= self._queue.popleft().size
            self._ahead.clear()
            self._restart = True

    def _shown_at(self, tick: int, shown: int | None) -> int:
        times = [pts_of(packet) for packet in self._queue if not packet.is_discard]
        if len(set(times)) < len(times):
            raise CannotSelect("two frames are shown at the same time")
        times += self._ahead if shown is None else [*self._ahead, shown]
        if not times:
            raise CannotSelect("a part of the file has no frame")
        return max((pts for pts in times if pts <= tick), default=min(times))

    def _hand_out(self, count: int, target: int | None) -> Step:
        packets = [self._queue.popleft() for _ in range(count)]
        self._queued -= sum(packet.size for packet in packets)
        restart, self._restart = self._restart, False
        if restart and not packets[0].is_keyframe:
            raise CannotSelect("the first frame is not a keyframe")
        self._ahead += [pts_of(packet) for packet in packets if not packet.is_discard]
        if target is not None:
            self._ahead = [pts for pts in self._ahead if pts > target]
        return Step(packets, target, restart)

    def _seek_pays(self, tick: int) -> bool:
        """Returns whether the index has a keyframe up to the tick, far enough ahead of the read position."""
        if not self._indexed or self._ended:
            return False
        read_to = self._stream.start_time or 0 if self._last is None else pts_of(self._last)
        entry = self._keyframe(tick)
        return entry is not None and (entry - read_to) * _time_base(self._stream) > MIN_SEEK_SECONDS

    def _keyframe(self, tick: int) -> int | None:
        """Returns the time of the last keyframe in the index that is certainly displayed up to the tick.

        The index of MP4 has decoding times, which the reordering of B-frames makes earlier than presentation times.
        """
        index = self._stream.index_entries
        reordering = (self._stream.codec_context.reorder_depth + 1) * frame_ticks(None, self._stream)
        number = index.search_timestamp(tick - reordering, backward=True)
        return index[number].timestamp if number >= 0 else None

    def _seek(self, tick: int) -> None:
        entry = self._keyframe(tick)
        for _ in range(SEEK_TRIES):
            if entry is None:
                break
            self._seek_to(entry)
            packet = self._next_packet()
            if packet is not None and packet.is_keyframe and not packet.is_discard and pts_of(packet) <= tick:
                self._queue = deque([packet])
                self._queued, self._restart = packet.size, True
                self._ahead.clear()
                return
            entry = self._keyframe(entry - 1)
        raise CannotSelect("the index does not point to keyframes")

    def _seek_to(self, entry: int) -> None:
        try:
            self._container.seek(entry, stream=self._stream)
        except FFmpegError as error:
            raise CannotSelect(f"seeking failed: {error.strerror}") from error


def _comes_after(packet: Packet, tick: int) -> bool:
    return pts_of(packet) > tick and not packet.is_discard


def pts_of(packet: Packet) -> int:
    """Returns the presentation time of a packet in ticks; raises CannotSelect if it has none."""
    if packet.pts is None:
        raise CannotSelect("a packet has no presentation time")
    return packet.pts


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1000)
