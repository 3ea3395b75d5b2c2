"""Reads the packets of a stream once, without decoding: what headers do not state, or may state wrongly."""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from facecore.video.packets import MAX_REORDERED, Packet
from facecore.video.sequential import frame_ticks, picture_end, stream_duration
from facecore.video.timeline import INDEXED_FORMATS, MAX_GAP_FRAMES, Limits, continuous


class Survey(NamedTuple):
    """What the packets of a stream show.

    Attributes:
        end: tick at which the last frame ends; None: unknown.
        frames: number of frames; None: unknown.
        is_continuous: the timestamps have neither resets nor jumps.
        keyframes: presentation times of the keyframes in ticks; None: the packets were not read.
        held: most ticks between two frames that are no jump; None: as usual for the container.
        start: tick of the first frame, where FFmpeg states a later one; None: as it states.
    """

    end: int | None
    frames: int | None
    is_continuous: bool
    keyframes: Sequence[int] | None = None
    held: int | None = None
    start: int | None = None


Ticks = NDArray[np.int64]
UNKNOWN = -(1 << 63)
"""Stands for a time that is not stated (AV_NOPTS_VALUE)."""
MIN_STEPS = 2
"""Steps between frames from which the median says what is usual."""


def survey_of_headers(container: InputContainer, stream: VideoStream, limits: Limits) -> Survey | None:
    """Returns what headers and index show; None: the packets have to be read."""
    if (ticks := stream_duration(stream)) is None:
        return None
    if container.format.name in INDEXED_FORMATS:
        is_fragmented, are_slides = not stream.frames, ticks > stream.frames / (stream.time_base or 1)
        if is_fragmented or are_slides or _has_gap(stream, limits):
            return None
    return Survey((stream.start_time or 0) + ticks, stream.frames or None, True)


def survey_of_packets(
    packets: Iterator[Packet], container: InputContainer, stream: VideoStream, limits: Limits
) -> Survey:
    """Returns what the packets show, up to the first that cannot be read: the file is truncated there."""
    shown_at, decoded_at, lengths, keyframes = (array("q") for _ in range(4))  # 8 bytes a frame each
    start, untimed, usual, length = stream.start_time or 0, 0, frame_ticks(None, stream), 1
    with suppress(FFmpegError):  # decoding reports it
        for packet in packets:
            if not packet.size or packet.is_discard:
                continue
            if (pts := packet.pts) is None:
                untimed += 1
                continue
            if (stated := packet.duration or usual) <= limits.longest:
                length = stated
            shown_at.append(pts)
            decoded_at.append(UNKNOWN if packet.dts is None else packet.dts)
            lengths.append(length)
            if packet.is_keyframe:
                keyframes.append(pts)
    count = len(shown_at) + untimed
    if untimed and not container.duration:  # an elementary stream has no timestamps
        return Survey(start + count * usual, count, True, keyframes)
    if not shown_at:
        return Survey(None, count, True, keyframes)
    order, shown, durations = (np.frombuffer(ticks, np.int64) for ticks in (decoded_at, shown_at, lengths))
    is_first_known = bool(order[0] != UNKNOWN)
    order = _order(shown, order)
    held = _held(order, shown, durations, limits)
    if held is not None:
        last, first = int(shown.argmax()), int(shown.min())
        end = picture_end(shown_at[last], lengths[last], stream)
        is_wrong = not is_first_known and first < (stream.start_time or 0)
        return Survey(
            end, count, True, keyframes, held if held > limits.ahead else None, first if is_wrong else None
        )
    timed = (
        (at, length, length + (pts - at if pts - at <= limits.ahead else 0))
        for at, pts, length in zip(map(int, order), shown_at, lengths, strict=True)
    )
    end = max(tick + rest for tick, rest in continuous(timed, limits, lambda *_: None))
    return Survey(end, count, False, keyframes)


def _order(shown: Ticks, decoded: Ticks) -> Ticks:
    """Returns the decoding times; FFmpeg states none for the first frames of Matroska."""
    known = np.flatnonzero(decoded != UNKNOWN)
    if not len(known):
        return np.sort(shown) if len(shown) < MAX_REORDERED else shown
    order = np.where(decoded == UNKNOWN, shown, decoded)
    order[: known[0]] = np.minimum(order[: known[0]], order[known[0]])
    return order


def _held(order: Ticks, shown: Ticks, durations: Ticks, limits: Limits) -> int | None:
    """Returns the most ticks between two frames of an even film; None: there are resets or jumps.

    Steps that are usual in the film are no jumps: slides in a transport stream have no durations.
    """
    steps = np.diff(order)
    usual = min(MAX_GAP_FRAMES * int(np.median(steps)), limits.longest) if len(steps) >= MIN_STEPS else 0
    ahead = max(limits.ahead, usual)
    allowed = np.maximum(ahead, MAX_GAP_FRAMES * durations[:-1])
    is_even = np.all((steps >= -limits.back) & (steps <= allowed)) and np.all(shown - order <= ahead)
    return ahead if is_even else None


def _has_gap(stream: VideoStream, limits: Limits) -> bool:
    """Returns whether consecutive entries of the index are further apart than frames usually are."""
    index, number = stream.index_entries, 0
    while number < len(index) - 1:
        following = index.search_timestamp(
            index[number].timestamp + limits.ahead, backward=True, any_frame=True
        )
        if following <= number:
            return True
        number = following
    return False
