"""Scans of JPEG data, counted before it is decoded: each may cover all pixels, in a few bytes."""

import re
from collections.abc import Iterator
from math import prod

import av
from av.video.stream import VideoStream

from facecore.video.errors import SourceError

MAX_SCANS = 100
"""Scans of a picture; encoders write about ten."""
MAX_PASSES = 12
"""Passes over as many pixels as a picture may have, for all scans of a picture together."""
MAX_FILM_SCANS = 24
"""Scans of a frame of a film, which may be two pictures (interlaced); cameras write one scan."""
MAX_MARKERS = 20_000
"""Markers of a picture; segments of the largest size would fill four files of the largest size."""
JPEG_CODECS = frozenset(
    {"mjpeg", "mjpegb", "mxpeg", "amv", "sp5x", "thp", "smvjpeg", "tdsc", "tiff", "jpegls"}
)
"""Video codecs that FFmpeg decodes as JPEG."""
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""A marker in or after the data of a scan, where 0xFF is followed by 0, and RST and TEM markers do not count."""
_START_OF_SCAN = b"\xff\xda"


def jpeg_scans(data: bytes) -> int:
    """Counts the scans up to the end of the picture; thumbnails in headers and appended pictures do not count."""
    return sum(code == 0xDA for code, _ in _markers(data))


def jpeg_end(data: bytes) -> int | None:
    """Returns the position after the end of the first picture; None: it has no end."""
    return next((position for code, position in _markers(data) if code == 0xD9), None)


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the markers of the first picture, up to its end, with the position after each."""
    code, markers, position = 0, 0, 2
    while code != 0xD9 and (marker := _MARKER.search(data, position)) is not None:
        check_markers(markers := markers + 1)
        code = data[marker.start() + 1]
        yield code, marker.end()
        length = int.from_bytes(data[marker.end() : marker.end() + 2])
        position = marker.end() + (0 if code == 0xD8 else max(2, length))


def check_markers(markers: int) -> None:
    """Raises SourceError when a picture has more markers than are looked at."""
    if markers > MAX_MARKERS:
        raise SourceError(f"The JPEG picture has more than {MAX_MARKERS} markers.")


def check_scans(scans: int, size: tuple[int, int], max_pixels: int, what: str) -> None:
    """Raises SourceError for too many scans, or for too many pixels in all scans together.

    Args:
        max_pixels: that a picture may have.
        what: what has the scans, for the error.
    """
    if scans > MAX_SCANS:
        raise SourceError(f"{what} has {scans} scans; at most {MAX_SCANS} are allowed.")
    if scans > 1 and scans * prod(size) > MAX_PASSES * max_pixels:
        raise SourceError(
            f"{what} has {scans} scans of {size[0]} x {size[1]} pixels; at most {MAX_PASSES * max_pixels} pixels are"
            f" allowed in all scans ({MAX_PASSES} times FACES_MAX_PIXELS)."
        )


def check_packet(packet: "av.Packet[VideoStream]") -> None:
    """Raises SourceError when a packet of a film has too many scans; every marker in it counts."""
    if packet.stream.codec_context.name in JPEG_CODECS:
        scans = bytes(packet).count(_START_OF_SCAN) if packet.size else 0
        if scans > MAX_FILM_SCANS:
            raise SourceError(f"A frame of the film has {scans} scans; at most {MAX_FILM_SCANS} are allowed.")
