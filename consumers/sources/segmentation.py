"""Segmentation: divides a long film into parts that several workers sample."""

from os import PathLike
from pathlib import Path

import msgspec

from consumers.sources.content import GREW, Version, begins_with
from facecore.video import Interval, Plan, Samples, Scenes, SourceError, Timestamps, VideoInfo, open_source
from facecore.video.byte_range import ByteRange
from facecore.video.container import picture_kind
from facecore.video.keyframes import keyframe_times, segments
from schemas.opened_file import OpenedFile
from schemas.requests import AnalyzeRequest, Parameters

MAX_PARTS = 1000
"""Most parts of a film; a film that would have more gets longer parts."""
MTIME_TOLERANCE_SECONDS = 0.01
"""Difference of a file's modification time between hosts that is ignored: file systems round differently."""


class Segmentation(msgspec.Struct, frozen=True):
    """The parts of a film, as stored in the job record.

    Attributes:
        starts: index of the first sample of each part; a part ends where the next one starts.
        window: frames of the job that may be in flight.
        moments: seconds of every sample, where they do not follow from the request's parameters.
        info: properties of the film, so that they are not read again for each part; None: by an earlier program.
    """

    starts: tuple[int, ...]
    window: int
    moments: tuple[float, ...] | None = None
    info: VideoInfo | None = None


def plan_of(parameters: Parameters) -> Plan:
    """Returns the sampling plan of a request: scenes where it lists them, otherwise an interval."""
    if parameters.scene_boundaries:
        return Scenes(tuple((s.start_timestamp, s.end_timestamp) for s in parameters.scene_boundaries))
    return Interval(parameters.sampling_interval)


def divide(
    path: PathLike[str], whole: Samples, window: int, *, length: float, max_pixels: int
) -> Segmentation | None:
    """Divides a film into parts; None when it is too short, or its keyframes are too far apart, for two parts, or
    its timestamps have resets.

    Args:
        whole: all samples of the film.
        length: seconds of a part.
    """
    duration = whole.info.duration
    if (
        duration is None
        or duration <= length
        or not whole.info.is_continuous
        or picture_kind(path) is not None
    ):
        return None
    keyframes = keyframe_times(path, max_pixels=max_pixels, info=whole.info)
    parts = segments(whole.plan, whole.info, keyframes, length=max(length, duration / MAX_PARTS))
    if len(parts) == 1:
        return None
    moments = whole.plan.seconds if isinstance(whole.plan, Timestamps) else None
    info = msgspec.structs.replace(whole.info, keyframes=None)  # many, and not needed any more
    return Segmentation(tuple(part.first for part in parts), window, moments, info)


def open_part(
    opened: OpenedFile,
    request: AnalyzeRequest,
    version: Version,
    segmentation: Segmentation,
    part: int,
    first: int,
    *,
    max_pixels: int,
) -> Samples:
    """Opens the samples of a part, from index ``first`` of the film on.

    Args:
        version: of the file when the film was divided.

    Raises:
        SourceError: the file cannot be used, or has changed.
    """
    check_unchanged(opened, request.video_path, version)
    path = opened if version.content is None else ByteRange(opened, 0, version.content.size)
    plan = plan_of(request.parameters) if segmentation.moments is None else Timestamps(segmentation.moments)
    end = segmentation.starts[part + 1] if part + 1 < len(segmentation.starts) else None
    return open_source(
        path, plan, start_index=first, end_index=end, info=segmentation.info, max_pixels=max_pixels
    )


def check_unchanged(opened: OpenedFile, name: str, version: Version) -> list[str]:
    """Checks the open file, and the one that has its name now, which a Frame Server may have read.

    A deleted file is fine, since it is still open; so is one that was touched or has grown.

    Returns:
        A warning when the file has grown.

    Raises:
        SourceError: the file has changed.
    """
    warnings: list[str] = []
    for path in (opened, opened.path):
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            continue
        if (content := version.content) is None:
            is_same = abs(status.st_mtime - version.modified) <= MTIME_TOLERANCE_SECONDS
        else:
            is_same = begins_with(path, content)
            warnings = [GREW] if status.st_size > content.size else warnings
        if not is_same:
            raise changed(name)
    return warnings


def changed(name: str) -> SourceError:
    """Returns the error of a source whose frames may be of two versions."""
    return SourceError(f"{name} was changed while it was being analysed. Submit the job again.")
