"""Reads the properties of a video, picture or animation, without sampling it."""

from collections.abc import Callable
from os import PathLike

import msgspec

from facecore.video.animation import Animation, frame_count
from facecore.video.byte_range import ByteRange
from facecore.video.container import describe, open_video, picture_kind, video_stream
from facecore.video.errors import NoPicture, SourceError
from facecore.video.images import decoding_bytes, read_file, read_image
from facecore.video.joined import parts_of, transport_parts_of
from facecore.video.pillow_decoder import picture_turning
from facecore.video.sampling import VideoInfo


def probe(path: PathLike[str], *, max_pixels: int) -> VideoInfo:
    """Reads the properties of a file; a picture file counts as a video of one frame.

    Raises:
        SourceError: the file is missing, a directory, empty, not a video, has no video stream (audio only), or has
        more
            than ``max_pixels`` pixels a frame.
    """
    kind = picture_kind(path)
    if kind == "animation":
        frames = Animation(path, max_pixels)
        return VideoInfo(
            duration=frames.duration, width=frames.width, height=frames.height, fps=len(frames) / frames.duration,
            codec="webp", frames=len(frames), stored=(frames.width, frames.height),
        )  # fmt: skip
    if kind is not None:
        height, width = read_image(path, max_pixels).shape[:2]
        turning = picture_turning(kind, read_file(path))
        return VideoInfo(
            width=width, height=height, codec=kind.lower(), frames=1, turning=turning,
            stored=turning.size(width, height),
        )  # fmt: skip
    if parts := parts_of(path):
        return _joined(parts, max_pixels)
    return described(path, lambda: _opened_and_described(path, max_pixels), max_pixels)[0]


def _opened_and_described(path: PathLike[str], max_pixels: int) -> VideoInfo:
    with open_video(path) as container:
        return describe(container, video_stream(container, path, max_pixels), path)


def described(
    path: PathLike[str], read: Callable[[], VideoInfo], max_pixels: int
) -> tuple[VideoInfo, list[ByteRange]]:
    """Returns the properties of a film, and its parts where its pictures are several streams one after another.

    Args:
        read: returns the properties as if the film had one stream of pictures.
    """
    try:
        info = read()
    except NoPicture:
        if not (parts := transport_parts_of(path)):  # at the beginning only
            raise
    else:
        parts = transport_parts_of(path, is_continuous=info.is_continuous)
    return (_joined(parts, max_pixels), parts) if parts else (info, [])


def _joined(ranges: list[ByteRange], max_pixels: int) -> VideoInfo:
    """Returns the properties of a film that is joined of several: those of the first one, and the sums.

    Raises:
        SourceError: none of them can be sampled.
    """
    parts, errors = list[VideoInfo](), list[SourceError]()
    for part in ranges:
        try:
            parts.append(probe(part, max_pixels=max_pixels))
        except SourceError as error:  # `Samples` reports it
            errors.append(error)
    if not parts:
        raise errors[0]
    durations, frames = ([getattr(part, name) for part in parts] for name in ("duration", "frames"))
    return msgspec.structs.replace(
        parts[0],
        duration=None if None in durations else sum(durations),
        frames=None if None in frames else sum(frames),
        claimed=None,
        is_continuous=False,
        keyframes=None,
        start=None,
        held=None,
    )


def picture_bytes(path: PathLike[str], max_pixels: int) -> int:
    """Estimates the memory that a picture or an animation takes while it is open; 0 for a video.

    Raises:
        SourceError: as `probe`, for a picture.
    """
    kind = picture_kind(path)
    if kind is None:
        return 0
    encoded = read_file(path)
    try:
        size = decoding_bytes(encoded, max_pixels)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    return size * frame_count(encoded) if kind == "animation" else size
