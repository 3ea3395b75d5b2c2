"""What the keyframes of a film allow: samples that cost one decoded frame each, and parts for several workers."""

from bisect import bisect_left
from contextlib import suppress
from itertools import pairwise, takewhile
from pathlib import Path

import msgspec
from av.error import FFmpegError

from facecore.video.container import open_video, picture_kind, video_stream
from facecore.video.decoder import probe
from facecore.video.sampling import Interval, Plan, Timestamps, VideoInfo, expected_samples, sample_times
from facecore.video.selective import can_select
from facecore.video.sequential import seconds


class Segment(msgspec.Struct, frozen=True):
    """The samples of a plan from number `first` up to, not including, number `end`; None: to the last one."""

    first: int
    end: int | None


def keyframe_times(path: Path, *, max_pixels: int) -> list[float]:
    """Seconds at which a keyframe is shown, in order; none for a file whose packets do not tell.

    Reads the file once, without decoding. Raises SourceError as `probe` does.
    """
    with open_video(path) as container:
        stream = video_stream(container, path, max_pixels)
        if not can_select(container, stream):
            return []
        times: list[float] = []
        with suppress(FFmpegError):  # the file breaks off: who decodes it reports that
            times.extend(
                seconds(packet.pts, stream)
                for packet in container.demux(stream)
                if packet.is_keyframe and packet.pts is not None and not packet.is_discard
            )
    return sorted(times)


def at_keyframes(plan: Interval, info: VideoInfo, keyframes: list[float]) -> Timestamps:
    """The plan with every moment moved to the nearest keyframe, at most half an interval away; a moment without
    one stays, and is sampled exactly.

    Args:
        keyframes: as `keyframe_times` gives them.
    """
    count = expected_samples(plan, info) or 1
    moments = []
    for t in (index * plan.seconds for index in range(count)):
        place = bisect_left(keyframes, t)
        near = [
            k
            for k in keyframes[max(0, place - 1) : place + 1]
            if -plan.seconds / 2 < k - t <= plan.seconds / 2
        ]
        moments.append(min(near, key=lambda k: abs(k - t), default=t))
    return Timestamps(tuple(moments))


def nearest_keyframes(path: Path, plan: Plan, *, max_pixels: int, max_samples: int) -> Plan:
    """An interval as `at_keyframes` moves it; as it was for a picture, and for a film that does not tell its length
    or gives more samples than `max_samples`.

    Raises SourceError as `probe` does.
    """
    if not isinstance(plan, Interval) or picture_kind(path) is not None:
        return plan
    info = probe(path, max_pixels=max_pixels)
    if info.duration is None or (expected_samples(plan, info) or 0) > max_samples:
        return plan
    return at_keyframes(plan, info, keyframe_times(path, max_pixels=max_pixels))


def segments(plan: Plan, info: VideoInfo, keyframes: list[float], *, length: float) -> list[Segment]:
    """The plan in parts of about `length` seconds, each of which can be sampled by itself, with the same outcome as
    all at once.

    One part only when keyframes are so far apart that the parts would decode much of each other's film.

    Args:
        keyframes: as `keyframe_times` gives them.
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
