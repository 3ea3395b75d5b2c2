"""Opens untrusted video files and reads their properties."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from os import PathLike
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from facecore.video.animation import is_animation
from facecore.video.audio import audio_kind
from facecore.video.byte_range import location
from facecore.video.demuxing import packets_of
from facecore.video.errors import NoPicture, SourceError
from facecore.video.images import HEAD_BYTES, image_kind
from facecore.video.joined import top_boxes
from facecore.video.memory import raise_if_short
from facecore.video.motion_jpeg import is_motion_jpeg
from facecore.video.packets import Packet
from facecore.video.picture import orientation, shown_width
from facecore.video.sampling import VideoInfo
from facecore.video.scans import check_packet
from facecore.video.survey import survey_of_headers, survey_of_packets
from facecore.video.timeline import WRAPPING_FORMATS, limits_of
from facecore.video.upright import Turning

# Demuxers for self-contained files. Left out: playlists and other formats that name further files (hls, concat, dash,
# sdp, image2), devices, and formats that FFmpeg guesses from the file name alone.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,apng,ivf,obu,nut,mxf,"
    "mjpeg,mpjpeg,m4v,h261,h263,h264,hevc,vvc,vc1,av1,yuv4mpegpipe,dv,rm,wtv,gxf,nsv,swf"
)
SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"msf1"})
"""Major brands of AVIF and HEIF files whose pictures are a film (ISO/IEC 23008-12, 10.3; AVIF 1.1, 6.2)."""
MAX_BOXES = 1000
"""Boxes of an MP4 file among which its index is looked for."""
MIN_LEAD_SECONDS, MAX_LEAD_SECONDS = 0.5, 3600.0
"""Bounds of a start of the sound before the picture; a longer one is a damaged timestamp."""
OPEN_TIMEOUT_SECONDS = 60.0
"""Only a malicious header keeps a demuxer busy for longer."""


def picture_kind(path: PathLike[str]) -> str | None:
    """Returns the kind of a picture file, "animation" for an animated WebP, None for a video. Animated AVIF, GIF and
    PNG files are videos.

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
    is_animated = is_animated or (kind in ("AVIF", "HEIC") and head[8:12] in SEQUENCE_BRANDS)
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
        raise NoPicture(f"{path} has no video stream{found}.")
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise SourceError(f"{path} uses a codec that this build of FFmpeg cannot decode.")
    # Beside an animation, AVIF has a still of it.
    stream = max(
        decodable, key=lambda s: (s.frames != 1, s.disposition & Disposition.default, s.width * s.height)
    )
    width = max(stream.width, shown_width(stream.width, stream.sample_aspect_ratio))
    if width * stream.height > max_pixels:
        raise SourceError(
            f"{path} has {width} x {stream.height} pixels a frame; at most {max_pixels} are allowed"
            " (FACES_MAX_PIXELS)."
        )
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    return stream


def describe(container: InputContainer, stream: VideoStream, path: PathLike[str]) -> VideoInfo:
    """Returns the properties of the video from its headers and its first frame, and from all packets where headers do
    not suffice; moves the read position.

    Raises:
        SourceError: no frame can be decoded.
    """
    codec, rate = stream.codec_context.name, float(stream.average_rate or stream.guessed_rate or 0)
    claimed, start = _claimed_duration(container, stream), stream.start_time or 0
    time_base = stream.time_base or Fraction(1, 1000)
    limits = limits_of(container.format.name, stream.time_base)
    first = _FirstFrame(container, stream, path)
    survey = survey_of_headers(container, stream, limits)
    if survey is None:
        survey = survey_of_packets(iter(first), container, stream, limits)
    start = start if survey.start is None else survey.start
    turning = first.turning
    shown = turning.size(shown_width(stream.width, stream.sample_aspect_ratio), stream.height)
    end = claimed if survey.end is None else float((survey.end - start) * time_base)
    return VideoInfo(
        duration=_positive(end),
        claimed=claimed if survey.is_continuous else None,
        width=shown[0],
        height=shown[1],
        fps=rate,
        codec=codec,
        stored=(stream.width, stream.height),
        turning=turning,
        frames=survey.frames,
        lead=_lead(container, start, stream),
        is_continuous=survey.is_continuous,
        keyframes=None
        if survey.keyframes is None
        else tuple(float((tick - start) * time_base) for tick in sorted(survey.keyframes)),
        held=survey.held,
        start=survey.start,
    )


def _lead(container: InputContainer, start: int, stream: VideoStream) -> float:
    """Returns the seconds by which the sound begins before the picture; 0: by less than is noticed."""
    if container.start_time is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    lead = float(start * stream.time_base) - container.start_time / av.time_base
    return round(lead, 6) if MIN_LEAD_SECONDS <= lead <= MAX_LEAD_SECONDS else 0.0


def _claimed_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Returns the duration that the container's header states, audio included; None: it has no such header."""
    if container.format.name in WRAPPING_FORMATS or not container.duration or stream.time_base is None:
        return None
    return _positive(container.duration / av.time_base - float((stream.start_time or 0) * stream.time_base))


def _positive(seconds: float | None) -> float | None:
    return seconds if seconds and seconds > 0 else None  # damaged timestamps give others


class _FirstFrame:
    """The packets of a stream, which are decoded up to the first frame."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: PathLike[str]) -> None:
        self._packets = packets_of(container, stream)
        self._codec = stream.codec_context.name
        self._path = path
        self._turning: Turning | None = None

    def __iter__(self) -> Iterator[Packet]:
        try:
            for packet in self._packets:
                if self._turning is None:
                    self._decode(packet)
                yield packet
        except FFmpegError as error:
            raise_if_short(error)
            if self._turning is not None:
                raise
            raise SourceError(f"{self._path} has no frame that can be decoded ({error.strerror}).") from error

    @property
    def turning(self) -> Turning:
        """Returns what makes the first frame upright; reads on if it is not known yet.

        Raises:
            SourceError: no frame can be decoded.
        """
        packets = iter(self)
        while self._turning is None:
            if next(packets, None) is None:
                raise SourceError(
                    f"{self._path} has no frame that can be decoded: the file is damaged or incomplete."
                )
        return self._turning

    def _decode(self, packet: Packet) -> None:
        check_packet(packet)
        try:
            frames = packet.decode()
        except FFmpegError as error:
            raise_if_short(error)
            return  # the first packets may be damaged; decoding reports it
        if frames:
            self._turning = orientation(frames[0], self._codec)
