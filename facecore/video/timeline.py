"""The film's own clock: continues over resets and jumps of the timestamps, as players do.

Times here are ticks: integers in units of the stream's time base.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, TypeVar

T = TypeVar("T")

RESET = "the timestamps go back (joined films or a restarted capture); the time goes on without a gap"
JUMP = "the timestamps jump ahead (joined films or a lost signal); the time goes on without a gap"
OUTLIER = "a single timestamp is wrong and was ignored"

INDEXED_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""Containers with an index of their frames or keyframes, in which a reader can seek exactly."""
MAX_BACKWARD_SECONDS = Fraction(1, 2)
"""Damage reorders frames by up to 16 frames; a timestamp that goes back further is a reset."""
MAX_GAP_SECONDS = 10
"""A longer gap between two frames is a jump (the threshold of ffmpeg's ``-dts_delta_threshold``)."""
MAX_INDEXED_GAP_SECONDS = 1800
"""The same for MP4 and Matroska, where a gap is meant: screen recordings and slides keep one frame for minutes."""
MAX_GAP_FRAMES = 20
"""A gap of at most this many durations of the frame before is no jump: slide shows have few frames."""
MAX_FRAME_SECONDS = 3600
"""A longer duration of a frame is damage."""
WRAPPING_FORMATS = frozenset({"mpegts", "mpeg"})
"""Containers with timestamps of 33 bits, which start again at 0 every 26.5 hours (ISO/IEC 13818-1, 2.4.3.7)."""
WRAP_TICKS = 1 << 33


class Limits(NamedTuple):
    """Steps between the timestamps of consecutive frames that are no discontinuity.

    Attributes:
        back: most ticks backwards.
        ahead: most ticks forwards, unless the frame's duration explains more.
        longest: most ticks that a frame lasts; a longer duration is damage.
        wrap: ticks after which timestamps start again at 0; 0: never.
    """

    back: int
    ahead: int
    longest: int
    wrap: int = 0

    def allow(self, step: int, duration: int) -> bool:
        """Returns whether a step after a frame of this duration is no discontinuity."""
        return -self.back <= step <= max(self.ahead, MAX_GAP_FRAMES * duration)

    def is_usual(self, step: int, duration: int) -> bool:
        """Returns whether a step after a frame of this duration is no gap either."""
        return -self.back <= step <= max(self.back, duration)


def limits_of(format_name: str, time_base: Fraction | None, held: int | None = None) -> Limits:
    """Returns the limits for a container format, by FFmpeg's name of it.

    Args:
        held: most ticks ahead; None: as usual for the container.
    """
    ticks = 1 / (time_base or Fraction(1, 1000))
    gap = MAX_INDEXED_GAP_SECONDS if format_name in INDEXED_FORMATS else MAX_GAP_SECONDS
    wrap = WRAP_TICKS if format_name in WRAPPING_FORMATS else 0
    ahead = round(gap * ticks) if held is None else held
    return Limits(round(MAX_BACKWARD_SECONDS * ticks), ahead, round(MAX_FRAME_SECONDS * ticks), wrap)


def continuous(
    frames: Iterable[tuple[int, int, T]], limits: Limits, report: Callable[[str, int], None]
) -> Iterator[tuple[int, T]]:
    """Yields the frames with the time of the film's clock.

    After a discontinuity the next frame follows the end of the frame before. A single outlier gets that time too,
    without moving the clock, also one that could be a gap if the frame after it were not earlier. Small steps, also
    backwards, stay as they are.

    Args:
        frames: timestamp, duration (at least 1) and frame, in the order of the file.
        report: takes the fault and the time on the film's clock.
    """
    last: int | None = None  # unwrapped timestamp of the last frame that was no outlier
    length = 1  # its duration
    offset = end = 0  # clock minus timestamp; end of the last frame on the clock
    held: tuple[int, int, T] | None = None  # a frame after an unusual step, until the next one shows its kind
    for raw, duration, frame in frames:
        duration = duration if duration <= limits.longest else length
        timestamp = raw if last is None else _unwrapped(raw, last, limits.wrap)
        if held is not None and last is not None:
            step, gap = timestamp - last, limits.allow(held[0] - last, length)
            if limits.allow(step, length) and abs(step) < abs(timestamp - held[0]):
                report(OUTLIER, end)
            elif gap:
                last, length, end = held[0], held[1], held[0] + offset
            else:
                report(RESET if held[0] < last else JUMP, end)
                last, length, offset = held[0], held[1], end - held[0]
            yield end, held[2]
            end, held = end + held[1], None
        if last is not None and not limits.is_usual(timestamp - last, length):
            held = timestamp, duration, frame
            continue
        yield timestamp + offset, frame
        last, length, end = timestamp, duration, timestamp + offset + duration
    if held is not None and last is not None:
        if limits.allow(held[0] - last, length):
            end = held[0] + offset
        else:
            report(OUTLIER, end)
        yield end, held[2]


def _unwrapped(timestamp: int, last: int, wrap: int) -> int:
    """Returns the timestamp with the whole wraps added that bring it nearest to the last one."""
    return timestamp - wrap * ((timestamp - last + wrap // 2) // wrap) if wrap else timestamp
