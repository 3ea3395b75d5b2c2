"""Opens untrusted video files and reads their properties."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import NamedTuple, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from facecore.video.animation import is_animation
from facecore.video.audio import audio_kind
from facecore.video.byte_range import location
from facecore.video.demuxing import packets_of
from facecore.video.errors import SourceError
from facecore.video.images import HEAD_BYTES, image_kind
from facecore.video.joined import top_boxes
from facecore.video.memory import raise_if_short
from facecore.video.motion_jpeg import is_motion_jpeg
from facecore.video.picture import orientation, shown_width
from facecore.video.sampling import VideoInfo
from facecore.video.scans import check_packet
from facecore.video.sequential import frame_ticks, stream_duration
from facecore.video.timeline import INDEXED_FORMATS, WRAPPING_FORMATS, Limits, continuous, limits_of
from facecore.video.upright import Turning

# Demuxers for self-contained files. Left out: playlists and other formats that name further files (hls, concat, dash,
# sdp, image2), devices, and formats that FFmpeg guesses from the file name alone.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,apng,ivf,obu,nut,mxf,"
    "mjpeg,mpjpeg,m4v,h261,h263,h264,hevc,vvc,vc1,av1,yuv4mpegpipe,dv,rm,wtv,gxf,nsv,swf"
)
MAX_BOXES = 1000
"""Boxes of an MP4 file among which its index is looked for."""
MIN_LEAD_SECONDS, MAX_LEAD_SECONDS = 0.5, 3600.0
"""Bounds of a start of the sound before the picture; a longer one is a damaged timestamp."""
OPEN_TIMEOUT_SECONDS = 60.0
"""Only a malicious header keeps a demuxer busy for longer."""


def picture_kind(path: PathLike[str]) -> str | None:
    """Returns the kind of a picture file, "animation" for an animated WebP, None for a video. Animated GIF and PNG
    files are videos.

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
    is_animated = kind == "PNG" and b"acTL" in head.partition(b"IDAT")[0]
    is_film = kind == "GIF" or is_animated or (kind == "JPEG" and is_motion_jpeg(path))
    return None if is_film else kind


def open_video(path: PathLike[str]) -> InputContainer:
    """Opens the file as a container; never opens any other file.

    Raises:
        SourceError: the file is not a supported video.
    """
    url, protocols = location(path)
    with Path(path).open("rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        return av.open(
            url,
            mode="r",
            format="mjpeg" if image_kind(head) == "JPEG" else None,  # FFmpeg would take it for a still
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": protocols},
            metadata_errors="replace",
            timeout=OPEN_TIMEOUT_SECONDS,
        )
    except FFmpegError as error:
        raise_if_short(error)
        if (audio := audio_kind(head)) is not None:
            raise SourceError(f"{path} is an audio file ({audio}), not a video.") from error
        if _lacks_index(path):
            raise SourceError(
                f"{path} is an incomplete MP4 file: its index (moov) is missing. It may still be being copied or"
                " recorded; submit it when it is complete."
            ) from error
        raise SourceError(f"{path} is not a video that can be read ({error.strerror}).") from error


def _lacks_index(path: PathLike[str]) -> bool:
    """Returns whether a file begins as MP4 and has no box ``moov``."""
    with Path(path).open("rb") as file:
        boxes = [kind for _, kind in islice(top_boxes(file, 0, file.seek(0, 2)), MAX_BOXES)]
    return bool(boxes) and boxes[0] in (b"ftyp", b"wide", b"mdat") and b"moov" not in boxes


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
    turning = _first_orientation(container, stream, path)
    survey = _survey(container, stream, path)
    duration = _duration(container, stream, survey)
    width = shown_width(stream.width, stream.sample_aspect_ratio)
    shown = turning.size(width, stream.height)
    return VideoInfo(
        duration=duration,
        claimed=_claimed_duration(container, stream) if survey.is_continuous else None,
        width=shown[0],
        height=shown[1],
        fps=rate,
        codec=codec,
        stored=(stream.width, stream.height),
        turning=turning,
        frames=survey.frames,
        lead=_lead(container, stream),
        is_continuous=survey.is_continuous,
    )


class _Survey(NamedTuple):
    """What the packets of a stream show.

    Attributes:
        end: tick at which the last frame ends; None: unknown.
        frames: number of frames; None: unknown.
        is_continuous: the timestamps have neither resets nor jumps.
    """

    end: int | None
    frames: int | None
    is_continuous: bool


def _survey(container: InputContainer, stream: VideoStream, path: PathLike[str]) -> _Survey:
    """Reads as many packets as are necessary to find the end and the discontinuities, without decoding."""
    name, limits = container.format.name, limits_of(container.format.name, stream.time_base)
    if (ticks := stream_duration(stream)) is not None:
        is_fragmented = name in INDEXED_FORMATS and not stream.frames
        if not is_fragmented and not (name in INDEXED_FORMATS and _has_gap(stream, limits)):
            return _Survey((stream.start_time or 0) + ticks, stream.frames or None, True)
    with open_video(path) as other:
        whole = _read_packets(other, cast("VideoStream", other.streams[stream.index]), limits)
    if whole.is_continuous and ticks is not None:
        return whole._replace(end=(stream.start_time or 0) + ticks)
    return whole


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


def _duration(container: InputContainer, stream: VideoStream, survey: _Survey) -> float | None:
    """Returns the seconds from the start of the stream to the end of its last frame; None: unknown."""
    if stream.time_base is None:
        return None
    if survey.end is not None:
        return _positive(float((survey.end - (stream.start_time or 0)) * stream.time_base))
    return _claimed_duration(container, stream)


def _lead(container: InputContainer, stream: VideoStream) -> float:
    """Returns the seconds by which the sound begins before the picture; 0: by less than is noticed."""
    if container.start_time is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    lead = float(stream.start_time * stream.time_base) - container.start_time / av.time_base
    return round(lead, 6) if MIN_LEAD_SECONDS <= lead <= MAX_LEAD_SECONDS else 0.0


def _claimed_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Returns the duration that the container's header states, audio included; None: it has no such header."""
    if container.format.name in WRAPPING_FORMATS or not container.duration or stream.time_base is None:
        return None
    return _positive(container.duration / av.time_base - float((stream.start_time or 0) * stream.time_base))


def _positive(seconds: float) -> float | None:
    return seconds if seconds > 0 else None  # damaged timestamps give others


def _read_packets(container: InputContainer, stream: VideoStream, limits: Limits) -> _Survey:
    """Reads all packets, without decoding."""
    end: int | None = None
    count = untimed = 0
    faults: list[str] = []

    def timed() -> Iterator[tuple[int, int, int]]:
        nonlocal count, untimed
        length = 1
        with suppress(FFmpegError):  # the file is truncated; decoding it reports that
            for packet in packets_of(container, stream):
                if not packet.size or packet.is_discard:
                    continue
                count += 1
                if packet.pts is None:
                    untimed += 1
                    continue
                decoded_at = packet.pts if packet.dts is None else packet.dts
                if (stated := frame_ticks(packet.duration, stream)) <= limits.longest:
                    length = stated
                delay = packet.pts - decoded_at
                yield decoded_at, length, delay if delay <= limits.ahead else 0

    for tick, (delay, length) in continuous(
        ((at, length, (delay, length)) for at, length, delay in timed()),
        limits,
        lambda fault, _: faults.append(fault),
    ):
        end = max(end or 0, tick + delay + length)
    if untimed and not container.duration:  # an elementary stream has no timestamps
        end = (stream.start_time or 0) + count * frame_ticks(None, stream)
    return _Survey(end, count, not faults)


def _first_orientation(container: InputContainer, stream: VideoStream, path: PathLike[str]) -> Turning:
    try:
        for packet in packets_of(container, stream):
            check_packet(packet)
            try:
                frames = packet.decode()
            except FFmpegError as error:
                raise_if_short(error)
                continue  # the first packets may be damaged; decoding reports it
            for frame in frames:
                return orientation(frame, stream.codec_context.name)
    except FFmpegError as error:
        raise_if_short(error)
        raise SourceError(f"{path} has no frame that can be decoded ({error.strerror}).") from error
    raise SourceError(f"{path} has no frame that can be decoded: the file is damaged or incomplete.")
