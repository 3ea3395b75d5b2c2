"""Uses of a video's keyframes: samples that need only one decoded frame, and splitting a video into segments."""

from bisect import bisect_left
from contextlib import suppress
from itertools import pairwise, takewhile
from os import PathLike

import msgspec
from av.error import FFmpegError

from facecore.video.container import open_video, picture_kind, video_stream
from facecore.video.demuxing import packets_of
from facecore.video.sampling import Interval, Plan, Timestamps, VideoInfo, expected_samples, sample_times
from facecore.video.selective import can_select
from facecore.video.sequential import seconds


class Segment(msgspec.Struct, frozen=True):
    """A range of samples of a plan.

    Attributes:
        first: number of the first sample.
        end: number after the last sample; None: to the end of the plan.
    """

    first: int
    end: int | None


def keyframe_times(path: PathLike[str], *, max_pixels: int, info: VideoInfo | None = None) -> list[float]:
    """Returns the presentation times of the keyframes in seconds, in order; empty if the format does not state them.

    Reads the whole file once, without decoding, unless that was done before.

    Args:
        info: properties of the file, from `probe`.

    Raises:
        SourceError: as `probe`.
    """
    with open_video(path) as container:
        stream = video_stream(container, path, max_pixels)
        if not can_select(container, stream):
            return []
        if info is not None and info.keyframes is not None:
            return list(info.keyframes)
        times: list[float] = []
        with suppress(FFmpegError):  # the file is truncated; decoding it reports that
            times.extend(
                seconds(packet.pts, stream)
                for packet in packets_of(container, stream)
                if packet.is_keyframe and packet.pts is not None and not packet.is_discard
            )
    return sorted(times)


def at_keyframes(plan: Interval, info: VideoInfo, keyframes: list[float]) -> Timestamps:
    """Moves every sample to the nearest keyframe at most half an interval away; other samples stay as they are.

    Args:
        keyframes: result of `keyframe_times`.
    """
    count = expected_samples(plan, info) or 1
    times = []
    for t in (index * plan.seconds for index in range(count)):
        place = bisect_left(keyframes, t)
        near = [
            k
            for k in keyframes[max(0, place - 1) : place + 1]
            if -plan.seconds / 2 < k - t <= plan.seconds / 2
        ]
        times.append(min(near, key=lambda k: abs(k - t), default=t))
    return Timestamps(tuple(times))


def nearest_keyframes(
    path: PathLike[str], plan: Plan, info: VideoInfo, *, max_pixels: int, max_samples: int
) -> Plan:
    """Applies `at_keyframes` to an interval plan.

    Returns the plan unchanged for a picture, a video of unknown duration or with resets of its timestamps, or more
    than ``max_samples`` samples.

    Args:
        info: properties of the file.

    Raises:
        SourceError: as `probe`.
    """
    if not isinstance(plan, Interval) or picture_kind(path) is not None:
        return plan
    if info.duration is None or not info.is_continuous or (expected_samples(plan, info) or 0) > max_samples:
        return plan
    return at_keyframes(plan, info, keyframe_times(path, max_pixels=max_pixels, info=info))


def segments(plan: Plan, info: VideoInfo, keyframes: list[float], *, length: float) -> list[Segment]:
    """Splits a plan into segments of about ``length`` seconds; sampling them separately gives the same samples.

    Returns a single segment if the keyframes are so far apart that segments would decode large parts of each other.

    Args:
        keyframes: result of `keyframe_times`.
        length: seconds.
    """
    gaps = [b - a for a, b in pairwise([*keyframes, info.duration or 0.0])]
    if info.duration is None or not keyframes or max(gaps) > length / 2:
        return [Segment(0, None)]
    starts, end = [0], length
    times = takewhile(lambda t: t < (info.duration or 0.0), sample_times(plan, info))
    for number, t in enumerate(times):
        if t >= end:
            starts.append(number)
            end += length * (1 + (t - end) // length)
    return [Segment(first, last) for first, last in zip(starts, [*starts[1:], None], strict=True)]
