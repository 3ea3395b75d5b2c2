"""Opens untrusted video files and reads their properties."""

from os import PathLike
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from facecore.video.animation import is_animation
from facecore.video.errors import SourceError
from facecore.video.images import HEAD_BYTES, image_kind
from facecore.video.memory import raise_if_short
from facecore.video.picture import orientation, quarter_turns, shown_width
from facecore.video.sampling import VideoInfo
from facecore.video.sequential import frame_ticks, stream_duration

# Demuxers for self-contained files. Left out: playlists and other formats that name further files (hls, concat, dash,
# sdp, image2), devices, and formats that FFmpeg guesses from the file name alone.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,apng,ivf,obu,nut,mxf,"
    "mjpeg,m4v,h261,h263,h264,hevc,vvc,vc1,av1,yuv4mpegpipe,dv,rm,wtv,gxf,nsv,swf"
)
TAIL_SECONDS = 10.0
"""Length of the end of a file that is read to find the duration, where no header has it; longer than most keyframe
intervals."""
OPEN_TIMEOUT_SECONDS = 60.0
"""Only a malicious header keeps a demuxer busy for longer."""


def picture_kind(path: PathLike[str]) -> str | None:
    """Returns the kind of a picture file, "animation" for an animated one, None for a video.

    Raises:
        SourceError: the file cannot be read or is empty.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise SourceError(f"There is no file at {path}.") from error
    except IsADirectoryError as error:
        raise SourceError(f"{path} is a directory, not a video.") from error
    except PermissionError as error:
        raise SourceError(f"{path} cannot be read: permission denied.") from error
    if not head:
        raise SourceError(f"{path} is empty.")
    if is_animation(head):
        return "animation"
    kind = image_kind(head)
    return None if kind == "GIF" else kind


def open_video(path: PathLike[str]) -> InputContainer:
    """Opens the file as a container; never opens any other file.

    Raises:
        SourceError: the file is not a supported video.
    """
    try:
        return av.open(
            str(Path(path).absolute()),
            mode="r",
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
            timeout=OPEN_TIMEOUT_SECONDS,
        )
    except FFmpegError as error:
        raise_if_short(error)
        raise SourceError(f"{path} is not a video that can be read ({error.strerror}).") from error


def video_stream(container: InputContainer, path: PathLike[str], max_pixels: int) -> VideoStream:
    """Returns the video stream, ready to be decoded.

    Raises:
        SourceError: there is no video stream that can be decoded, or it has more than ``max_pixels`` pixels a frame.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        found = ", only audio" if container.streams.audio else ""
        raise SourceError(f"{path} has no video stream{found}.")
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise SourceError(f"{path} uses a codec that this build of FFmpeg cannot decode.")
    stream = max(decodable, key=lambda s: (s.disposition & Disposition.default, s.width * s.height))
    width = max(stream.width, shown_width(stream.width, stream.sample_aspect_ratio))
    if width * stream.height > max_pixels:
        raise SourceError(
            f"{path} has {width} x {stream.height} pixels a frame; at most {max_pixels} are allowed"
            " (FACES_MAX_PIXELS)."
        )
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    return stream


def describe(container: InputContainer, stream: VideoStream, path: PathLike[str]) -> VideoInfo:
    """Returns the properties of the video from its headers and its first frame; moves the read position.

    Raises:
        SourceError: no frame can be decoded.
    """
    codec, rate = stream.codec_context.name, float(stream.average_rate or stream.guessed_rate or 0)
    transpose, mirror, flip = _first_orientation(container, stream, path)
    duration = _duration(container, stream, path)
    width, height = shown_width(stream.width, stream.sample_aspect_ratio), stream.height
    frames = stream.frames or (round(duration * rate) if duration and rate else None)
    return VideoInfo(
        duration=duration,
        claimed=_claimed_duration(container, stream),
        width=height if transpose else width,
        height=width if transpose else height,
        fps=rate,
        codec=codec,
        rotation=quarter_turns(transpose, mirror, flip),
        frames=frames,
    )


def _duration(container: InputContainer, stream: VideoStream, path: PathLike[str]) -> float | None:
    """Returns the seconds from the start of the stream to the end of its last frame; None: unknown."""
    if stream.time_base is None:
        return None
    start = stream.start_time or 0
    if (ticks := stream_duration(stream)) is not None:
        return _positive(float(ticks * stream.time_base))
    if (end := _end(path, stream.index)) is not None:
        return _positive(float((end - start) * stream.time_base))
    return _claimed_duration(container, stream)


def _claimed_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Returns the duration that the container's header states, audio included."""
    if not container.duration or stream.time_base is None:
        return None
    return _positive(container.duration / av.time_base - float((stream.start_time or 0) * stream.time_base))


def _positive(seconds: float) -> float | None:
    return seconds if seconds > 0 else None  # damaged timestamps give others


def _end(path: PathLike[str], index: int) -> int | None:
    """Returns the tick at which the last frame ends; None: unknown."""
    with open_video(path) as container:
        stream = cast("VideoStream", container.streams[index])
        if _skip_to_tail(container, stream):
            return _last_end(container, stream)
    with open_video(path) as container:  # a failed seek leaves the position at the end
        return _last_end(container, cast("VideoStream", container.streams[index]))


def _skip_to_tail(container: InputContainer, stream: VideoStream) -> bool:
    """Seeks to the last `TAIL_SECONDS` of a longer file; False: the file is not seekable."""
    if not container.duration or not stream.time_base or container.duration / av.time_base <= TAIL_SECONDS:
        return True
    try:
        container.seek(
            int((container.duration / av.time_base - TAIL_SECONDS) / stream.time_base), stream=stream
        )
    except FFmpegError:
        return False
    return True


def _last_end(container: InputContainer, stream: VideoStream) -> int | None:
    """Returns the tick at which the last frame ends, from the remaining packets, without decoding."""
    end: int | None = None
    count = untimed = 0
    try:
        for packet in container.demux(stream):
            count, untimed = count + bool(packet.size), untimed + bool(packet.size and packet.pts is None)
            if packet.pts is not None and not packet.is_discard:
                end = max(end or 0, packet.pts + frame_ticks(packet.duration, stream))
    except FFmpegError:
        return end  # the file is truncated; decoding it reports that
    if untimed and not container.duration:  # an elementary stream has no timestamps
        return (stream.start_time or 0) + count * frame_ticks(None, stream)
    return end


def _first_orientation(
    container: InputContainer, stream: VideoStream, path: PathLike[str]
) -> tuple[bool, bool, bool]:
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError as error:
                raise_if_short(error)
                continue  # the first packets may be damaged; decoding reports it
            for frame in frames:
                return orientation(frame)
    except FFmpegError as error:
        raise_if_short(error)
        raise SourceError(f"{path} has no frame that can be decoded ({error.strerror}).") from error
    raise SourceError(f"{path} has no frame that can be decoded: the file is damaged or incomplete.")
