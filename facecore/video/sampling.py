"""Which moments of a video are looked at. Times are seconds from the start of the video stream."""

import math
from collections.abc import Iterator
from itertools import count

import msgspec


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a video's picture without decoding it; the defaults stand for nothing known.

    Attributes:
        duration: seconds; None when the file does not tell and the end cannot be found cheaply.
        claimed: seconds that the whole file says it lasts, sound included; None when it does not say.
        width, height: pixels as shown, after rotation and with square pixels.
        fps: average frames a second; 0 when the file does not tell.
        codec: FFmpeg's name of the decoder.
        rotation: degrees clockwise that the coded picture is turned by to be shown: 0, 90, 180 or 270.
        frames: how many there are, as far as the headers tell; an estimate.
    """

    duration: float | None = None
    claimed: float | None = None
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codec: str = ""
    rotation: int = 0
    frames: int | None = None


class Interval(msgspec.Struct, frozen=True):
    """A sample every so many seconds from 0 on, while there is a picture."""

    seconds: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError("the interval must be a positive number of seconds")


class Scenes(msgspec.Struct, frozen=True):
    """Start, middle and end of every scene, given as (start, end)."""

    scenes: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for start, end in self.scenes:
            if not (0 <= start <= end < math.inf):
                raise ValueError(f"a scene cannot last from {start} to {end}")


class Timestamps(msgspec.Struct, frozen=True):
    """Samples at these moments."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(0 <= t < math.inf for t in self.seconds):
            raise ValueError("a timestamp must be a non-negative number of seconds")


Plan = Interval | Scenes | Timestamps


def sample_times(plan: Plan, info: VideoInfo, first: int = 0) -> Iterator[float]:
    """The moments of a plan in ascending order, from number `first` on.

    An interval goes on for ever: where the picture ends is known for certain only to who decodes it.
    """
    match plan:
        case Interval(seconds):
            return (round(index * seconds, 9) for index in count(first))
        case Timestamps(seconds):
            return iter(sorted(set(seconds))[first:])
        case Scenes(scenes):
            return iter(_scene_times(scenes, info)[first:])


def expected_samples(plan: Plan, info: VideoInfo) -> int | None:
    """How many samples there will be, as far as the headers tell."""
    if isinstance(plan, Interval):
        if info.duration is None:
            return None
        return max(1, math.ceil(round(info.duration / plan.seconds, 6)))
    end = math.inf if info.duration is None else info.duration
    return sum(t < end for t in sample_times(plan, info))


def _scene_times(scenes: tuple[tuple[float, float], ...], info: VideoInfo) -> list[float]:
    """The end of a scene is shown half a frame before it: its last frame, even where whoever found the
    boundary rounded it, and never the first frame of the scene that follows."""
    video_end = math.inf if info.duration is None else info.duration
    half_frame = 0.5 / info.fps if info.fps > 0 else 0.02
    times: set[float] = set()
    for start, end in scenes:
        if start >= video_end:
            continue
        end = min(end, video_end)
        times |= {start, (start + end) / 2, max(start, end - half_frame)}
    return sorted({round(t, 6) for t in times})
