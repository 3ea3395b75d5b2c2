"""Selective sampling: decodes only the frames that the samples depend on.

`packets` chooses the packets; the decoder skips pictures that no other picture depends on. An unusual structure
raises `CannotSelect`: the caller then samples sequentially, which is slower and always correct.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from facecore.stopping import raise_if_stopped
from facecore.video.memory import raise_if_short
from facecore.video.packets import CannotSelect, Packet, PacketPlanner, Step, pts_of
from facecore.video.scans import check_packet
from facecore.video.sequential import Tally
from facecore.video.timeline import INDEXED_FORMATS

SUPPORTED_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "flv"})
"""Containers that state presentation times; for others FFmpeg guesses them while decoding."""
SUPPORTED_CODECS = frozenset(
    {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores"}
)
"""Codecs in which every packet is a displayed frame. VP8 is excluded: its alt-ref frames are not displayed."""
CODECS_WITH_NON_REFERENCE = frozenset({"h264", "mpeg1video", "mpeg2video"})
"""Codecs with pictures that no other picture can depend on (H.264: nal_ref_idc 0, 7.4.1; MPEG: B). In HEVC a
sub-layer non-reference picture may be used by higher sub-layers."""
PROGRESSIVE_ORDERS = frozenset({0, 1})
"""AVFieldOrder: unknown and progressive. In interlaced video one field of a frame may depend on the other."""

MAX_PENDING_SAMPLES = 10_000
"""Samples that may wait for frames still inside the decoder; damaged times can create any number."""


def can_select(container: InputContainer, stream: VideoStream) -> bool:
    """Returns whether container and codec allow selective decoding."""
    return container.format.name in SUPPORTED_FORMATS and stream.codec_context.name in SUPPORTED_CODECS


def can_rewind(container: InputContainer) -> bool:
    """Returns whether a file of which packets were read can be sampled from its start."""
    return container.format.name in INDEXED_FORMATS


def shown_selectively(
    container: InputContainer, stream: VideoStream, ticks: Iterator[int], tally: Tally
) -> Iterator[av.VideoFrame]:
    """Yields the frame shown at each tick, up to the end of the video; the same frames as `shown_sequentially`.

    Raises:
        CannotSelect: the structure is unusual; frames yielded before are correct.
    """
    decoder = _StepDecoder(stream, tally)
    steps = PacketPlanner(container, stream).steps(ticks)
    step = next(steps, None)
    while step is not None:
        following = next(steps, None)
        decoder.feed(step, following)
        yield from decoder.ready()
        step = following


class _StepDecoder:
    """Decodes steps and yields the required frames in order, as soon as the decoder returns them."""

    def __init__(self, stream: VideoStream, tally: Tally) -> None:
        self._tally = tally
        self._context = stream.codec_context
        self._skips = (
            self._context.name in CODECS_WITH_NON_REFERENCE
            and stream.codec_context.field_order in PROGRESSIVE_ORDERS
        )
        self._start: int | None = None  # pts of the keyframe that the decoder started from
        self._first_seen = True  # whether that keyframe was decoded
        self._due: deque[int] = deque()  # pts of the frames to yield
        self._decoded: dict[int, av.VideoFrame] = {}
        self._shown: av.VideoFrame | None = None

    def feed(self, step: Step, following: Step | None) -> None:
        """Decodes the packets of a step; drains the decoder before a restart and at the end."""
        if step.restart and step.packets:
            self._context.flush_buffers()
            self._start = None if step.packets[0].is_discard else pts_of(step.packets[0])
            self._first_seen = self._start is None
        targets = {step.target, None if following is None or following.restart else following.target}
        for number, packet in enumerate(step.packets):
            needed = packet.pts in targets or (step.restart and number == 0)
            self._decode(packet, needed, targets)
        if step.target is not None:
            self._due.append(step.target)
            if len(self._due) > MAX_PENDING_SAMPLES:
                raise CannotSelect("a frame is displayed for too many samples")
        if following is None or following.restart:
            self._decode(None, True, targets)
            if any(pts not in self._decoded for pts in self._due if not self._is_shown(pts)):
                raise CannotSelect("the decoder did not return a frame")

    def ready(self) -> Iterator[av.VideoFrame]:
        """Yields the required frames decoded so far."""
        while self._due and (self._is_shown(self._due[0]) or self._due[0] in self._decoded):
            pts = self._due.popleft()
            if not self._is_shown(pts):
                self._shown = self._decoded.pop(pts)
            assert self._shown is not None
            yield self._shown

    def _decode(self, packet: Packet | None, skip_nothing: bool, targets: set[int | None]) -> None:
        raise_if_stopped()
        if self._skips:
            self._context.skip_frame = "DEFAULT" if skip_nothing else "NONREF"
        if packet is not None:
            check_packet(packet)
        try:
            frames = self._context.decode(packet)
        except EOFError:
            return  # already drained
        except FFmpegError as error:
            raise_if_short(error)
            if packet is not None and self._start is not None and pts_of(packet) < self._start:
                return  # displayed before the keyframe: depends on earlier packets, never required
            raise CannotSelect(f"a packet cannot be decoded: {error.strerror}") from error
        self._tally.decoded += len(frames)
        for frame in frames:
            self._take(frame, targets)

    def _take(self, frame: av.VideoFrame, targets: set[int | None]) -> None:
        if frame.pts is None:
            raise CannotSelect("a frame has no presentation time")
        if self._start is not None and frame.pts < self._start:
            return
        if frame.is_corrupt:
            raise CannotSelect("a frame was decoded with errors")
        if not self._first_seen and frame.pts != self._start:
            raise CannotSelect("a keyframe cannot be decoded by itself")
        self._first_seen = True
        if frame.pts in targets or frame.pts in self._due:
            self._decoded[frame.pts] = frame
        if self._due and frame.pts > self._due[0] not in self._decoded and not self._is_shown(self._due[0]):
            raise CannotSelect("the decoder returned frames in an unexpected order")

    def _is_shown(self, pts: int) -> bool:
        return self._shown is not None and self._shown.pts == pts
