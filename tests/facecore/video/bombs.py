"""Makes decompression bombs: small files that decode to huge data."""

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.facecore.video.clips import make_clip

HUGE = 170_000_000
"""Entries: FFmpeg takes 36 bytes for each."""


def png(side: int) -> bytes:
    """A picture of side x side pixels, as its header says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_samples(path: Path) -> None:
    """An MP4 file of six frames whose index tells of `HUGE` of one byte each."""
    make_clip(path, range(6), codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, HUGE)
    struct.pack_into(">III", data, data.index(b"stsc") + 12, 1, HUGE, 1)
    struct.pack_into(">III", data, data.index(b"stts") + 8, 1, HUGE, 1)
    path.write_bytes(data)


def long_fragment(path: Path) -> None:
    """A fragmented MP4 file, the first fragment of which tells of `HUGE` frames."""
    make_clip(path, range(6), container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, data.index(b"trun") + 4, 1, HUGE)
    path.write_bytes(data)


def packed_header(path: Path, size: int) -> None:
    """A QuickTime file whose header is packed, and says that it unpacks to so many bytes."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    header = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", size) + zlib.compress(bytes(1 << 24)))
    path.write_bytes(box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"moov", box(b"cmov", header)))


def progressive_jpeg(side: int, scans: int, *, thumbnail: bytes = b"", appended: bytes = b"") -> bytes:
    """Returns a black progressive JPEG whose last scan is repeated, so that it has that many scans.

    Args:
        thumbnail: contents of a comment before the first scan.
        appended: bytes after the end of the picture.
    """
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    jpeg = cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8), options)[1].tobytes()
    last = jpeg.rindex(b"\xff\xda")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail if thumbnail else b""
    missing = scans - jpeg.count(b"\xff\xda")
    return jpeg[:2] + comment + jpeg[2:-2] + jpeg[last:-2] * missing + jpeg[-2:] + appended


def film_of_jpegs(path: Path, pictures: Sequence[bytes]) -> None:
    """A film of these JPEG pictures, one a second; its header states 64 x 64 pixels."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            film.mux(packet)
