"""Headers of AVIF and HEIC pictures, which are ISO base media files (ISO/IEC 23008-12)."""

import struct
from io import BytesIO
from math import prod
from typing import cast

import av
from av.error import FFmpegError


def heif_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest `ispe` property (ISO/IEC 23008-12, 6.5.3): others are of tiles or of the thumbnail."""
    sizes, position = [], data.find(b"ispe")
    while position >= 0:
        sizes.append((be32(data, position + 8), be32(data, position + 12)))
        position = data.find(b"ispe", position + 4)
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None


def still_avif(data: bytes) -> bytes:
    """Returns an AVIF file without its animation, so that what is decoded is the picture whose size is known."""
    position, still = 0, bytearray(data)
    while 0 <= position <= len(data) - 16:
        size, kind = be32(data, position), data[position + 4 : position + 8]
        if kind == b"moov":
            still[position + 4 : position + 8] = b"free"
        if kind == b"ftyp":
            still[position : position + size] = data[position : position + size].replace(b"avis", b"avif")
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16])
        if size < 8:  # 0: up to the end of the file
            break
        position += size
    return bytes(still)


def av1_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest size that the AV1 data itself state: they are decoded in it, whatever `ispe` says."""
    try:
        with av.open(BytesIO(still_avif(data)), format="mov", metadata_errors="replace") as container:
            return max(
                ((stream.width, stream.height) for stream in container.streams.video), key=prod, default=None
            )
    except FFmpegError:
        return None


def stated_colours(data: bytes) -> tuple[int, int] | None:
    """Returns the primaries and the transfer function that the file states by their numbers (ITU-T H.273)."""
    position = data.find(b"colrnclx")
    if not 0 <= position <= len(data) - 12:
        return None
    return cast("tuple[int, int]", struct.unpack_from(">HH", data, position + 8))


def be32(data: bytes, offset: int) -> int:
    """Returns the number of 32 bits at an offset; raises struct.error beyond the end."""
    return cast("int", struct.unpack_from(">I", data, offset)[0])
