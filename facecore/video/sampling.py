"""Sampling plans: the times at which a video is sampled, in seconds from the start of the picture."""

import math
from collections.abc import Iterator
from itertools import count

import msgspec

from facecore.video.upright import UPRIGHT, Turning

MIN_BEFORE_END_SECONDS = 0.01
"""Least time from the last sample of a scene to its end: rounded up to 1/100 s, the Frame Server's precision, the
sample is still in the scene."""

SHORT_FILM_SECONDS = 20.0
SHORT_FILM_SAMPLES = 20
"""A film shorter than the first gets about the second number of samples with adaptive sampling."""
MIN_ADAPTED_SECONDS = 0.1


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a video stream, read without decoding it; the defaults mean unknown.

    Attributes:
        duration: seconds; None if the file does not state it and the end cannot be found cheaply.
        claimed: duration of the whole file including audio, as its header states it, in seconds.
        width, height: pixels as displayed, after rotation and with square pixels.
        fps: average frames a second; 0: unknown.
        codec: FFmpeg's name of the decoder.
        stored: width and height in pixels as stored, which need not be square.
        turning: makes the stored picture upright.
        frames: number of frames as the file states it or counted; None: unknown.
        lead: seconds by which other streams (the sound) begin before the picture; players count from there.
        is_continuous: whether the timestamps have no resets and no jumps.
        keyframes: presentation times of the keyframes in seconds, in order, where all packets were read; None: they
            were not.
        start: tick of the first frame, where FFmpeg states a later one; None: as it states.
        held: most ticks of the stream between two frames that are no jump; None: as usual for the container.
    """

    duration: float | None = None
    claimed: float | None = None
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codec: str = ""
    stored: tuple[int, int] = (0, 0)
    turning: Turning = UPRIGHT
    frames: int | None = None
    lead: float = 0.0
    is_continuous: bool = True
    keyframes: tuple[float, ...] | None = None
    start: int | None = None
    held: int | None = None

    @property
    def is_picture(self) -> bool:
        """Whether the file is a single picture, which has no duration."""
        return self.frames == 1 and self.duration is None

    @property
    def pixel_aspect(self) -> float:
        """Width of a stored pixel divided by its height."""
        width, height = self.turning.size(self.width, self.height)
        return width * self.stored[1] / (self.stored[0] * height) if self.stored[0] and height else 1.0


class Interval(msgspec.Struct, frozen=True):
    """A sample every ``seconds`` from 0 to the end of the video."""

    seconds: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError("the interval must be a positive number of seconds")


class Scenes(msgspec.Struct, frozen=True):
    """Samples at start, middle and end of every scene; scenes are (start, end) in seconds of a player's time."""

    scenes: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for start, end in self.scenes:
            if not (0 <= start <= end < math.inf):
                raise ValueError(f"a scene cannot last from {start} to {end}")


class Timestamps(msgspec.Struct, frozen=True):
    """Samples at these times."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(0 <= t < math.inf for t in self.seconds):
            raise ValueError("a timestamp must be a non-negative number of seconds")


Plan = Interval | Scenes | Timestamps


def adapted(plan: Plan, duration: float | None) -> Plan:
    """Returns the plan with about `SHORT_FILM_SAMPLES` samples of a film shorter than `SHORT_FILM_SECONDS`."""
    if not isinstance(plan, Interval) or duration is None or duration >= SHORT_FILM_SECONDS:
        return plan
    return Interval(min(plan.seconds, max(MIN_ADAPTED_SECONDS, round(duration / SHORT_FILM_SAMPLES, 6))))


def sample_times(plan: Plan, info: VideoInfo, first: int = 0) -> Iterator[float]:
    """Yields the times of a plan in ascending order, from number ``first`` on.

    An interval has no end: the exact end of a video is known only after decoding it.
    """
    match plan:
        case Interval(seconds):
            return (round(index * seconds, 9) for index in count(first))
        case Timestamps(seconds):
            return iter(sorted(set(seconds))[first:])
        case Scenes(scenes):
            return iter(_scene_times(scenes, info)[first:])


def expected_samples(plan: Plan, info: VideoInfo) -> int | None:
    """Returns the number of samples according to the headers; None: unknown."""
    if isinstance(plan, Interval):
        if info.duration is None:
            return None
        return max(1, math.ceil(round(info.duration / plan.seconds, 6)))
    end = math.inf if info.duration is None else info.duration
    return sum(t < end for t in sample_times(plan, info))


def _scene_times(scenes: tuple[tuple[float, float], ...], info: VideoInfo) -> list[float]:
    """Returns the sample times. The end of a scene is sampled half a frame earlier: that is its last frame even if
    the boundary was rounded, and never the first frame of the next scene."""
    video_end = math.inf if info.duration is None else info.duration
    half_frame = max(0.5 / info.fps, MIN_BEFORE_END_SECONDS) if info.fps > 0 else 0.02
    times: set[float] = set()
    for start, end in ((max(0.0, start - info.lead), end - info.lead) for start, end in scenes):
        if start >= video_end or end < 0:
            continue
        end = min(end, video_end)
        times |= {start, (start + end) / 2, max(start, end - half_frame)}
    return sorted({round(t, 6) for t in times})
