"""Which moments of a film are sampled, and which of them are a worker's: a long film is sampled in parts."""

from pathlib import Path

import msgspec

from facecore.video import Interval, Plan, Samples, Scenes, SourceError, Timestamps, open_source
from facecore.video.container import picture_kind
from facecore.video.keyframes import keyframe_times, segments
from schemas.requests import AnalyzeRequest, Parameters

MAX_PARTS = 1000
"""Of one film; the parts of a longer one are longer."""
SAME_TIME = 0.01
"""Seconds by which hosts may differ about a file's time: not all file systems keep all digits."""


class Segmentation(msgspec.Struct, frozen=True):
    """A film in parts, as the record of its job keeps it.

    Attributes:
        starts: number of the first sample of each part; a part ends where the next one starts.
        window: frames of the job that may be under way.
        moments: seconds of every sample where the parameters alone do not tell them.
    """

    starts: tuple[int, ...]
    window: int
    moments: tuple[float, ...] | None = None


def plan_of(parameters: Parameters) -> Plan:
    """Scenes where the caller knows them, else an interval."""
    if parameters.scene_boundaries:
        return Scenes(tuple((s.start_timestamp, s.end_timestamp) for s in parameters.scene_boundaries))
    return Interval(parameters.sampling_interval)


def divide(path: Path, whole: Samples, window: int, *, length: float, max_pixels: int) -> Segmentation | None:
    """The parts of a film; None for one that is too short for two, or whose keyframes are too far apart.

    Args:
        whole: all samples of the film.
        length: seconds of a part.
    """
    duration = whole.info.duration
    if duration is None or duration <= length or picture_kind(path) is not None:
        return None
    keyframes = keyframe_times(path, max_pixels=max_pixels)
    parts = segments(whole.plan, whole.info, keyframes, length=max(length, duration / MAX_PARTS))
    if len(parts) == 1:
        return None
    moments = whole.plan.seconds if isinstance(whole.plan, Timestamps) else None
    return Segmentation(tuple(part.first for part in parts), window, moments)


def open_part(
    path: Path,
    request: AnalyzeRequest,
    version: float,
    segmentation: Segmentation,
    part: int,
    first: int,
    *,
    max_pixels: int,
) -> Samples:
    """The samples of a part from number ``first`` of the film on.

    Args:
        version: modification time of the film when it was divided.

    Raises:
        SourceError: the file cannot be used, or is another one now.
    """
    check_unchanged(path, request.video_path, version)
    plan = plan_of(request.parameters) if segmentation.moments is None else Timestamps(segmentation.moments)
    end = segmentation.starts[part + 1] if part + 1 < len(segmentation.starts) else None
    return open_source(path, plan, start_index=first, end_index=end, max_pixels=max_pixels)


def check_unchanged(path: Path, name: str, version: float) -> None:
    """Raises SourceError when the file is another one now; one that is gone was not: it stays open until the end."""
    if path.exists() and abs(path.stat().st_mtime - version) > SAME_TIME:
        raise changed(name)


def changed(name: str) -> SourceError:
    """Frames of a source may be of two versions of it."""
    return SourceError(f"{name} was changed while it was being analysed.")
