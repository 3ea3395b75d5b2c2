"""Encodes, decodes and identifies pictures: picture files, and frames sent between the stages."""

import re
import struct
from io import BytesIO
from math import prod
from os import PathLike
from pathlib import Path
from typing import Literal, cast

import av
import cv2
import numpy as np
from av.error import FFmpegError

from facecore.video.errors import SourceError
from facecore.video.memory import raise_if_short
from facecore.video.picture import Image

PictureFormat = Literal["jpeg", "webp", "png"]
MAX_IMAGE_BYTES = 256 << 20
HEAD_BYTES = 1 << 16
"""Beginning of a file that `image_kind` and `image_size` need."""
MAX_SCANS = 100
"""Scans of a JPEG picture; encoders write about ten. Each scan may cover all pixels at no cost in bytes."""
MAX_PASSES = 12
"""Passes over as many pixels as a picture may have, for all scans of a JPEG picture together."""
DECODING_BYTES = {"JPEG": 6, "PNG": 6, "WebP": 8, "AVIF": 18, "HEIC": 18, "GIF": 12, "BMP": 6}
"""Peak of memory while decoding, in bytes a pixel, measured with pictures of 9 and 36 megapixels."""
PROGRESSIVE_JPEG_BYTES = 9
"""The same for a JPEG of several scans: its coefficients are held until the last one."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ONE_BYTE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""A marker in or after the data of a scan, where 0xFF is followed by 0, and RST and TEM markers do not count."""


def encode(image: Image, quality: int, form: PictureFormat = "jpeg") -> bytes:
    """Encodes an image; quality is 1-100, ignored by the lossless PNG."""
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    }
    done, encoded = cv2.imencode(f".{form}", image, options[form])
    if not done:
        raise ValueError(
            f"a picture of {image.shape[1]} x {image.shape[0]} pixels cannot be encoded as {form}"
        )
    return encoded.tobytes()


def decode(encoded: bytes, max_pixels: int = 100_000_000) -> Image:
    """Decodes a picture to BGR, 8 bit, rotated by its EXIF orientation; of an animation the first picture.

    Raises:
        SourceError: the bytes are not a picture of a supported format, are damaged, or have too many pixels.
    """
    kind, _ = _checked(encoded, max_pixels)
    if kind == "HEIC":
        return _heic(encoded)
    if kind == "AVIF":
        encoded = _still_avif(encoded)
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise_if_short(error)
        raise SourceError(f"The {kind} picture cannot be decoded: {error.err}.") from error
    if image is None:
        raise SourceError(f"The {kind} picture cannot be decoded: it is damaged or of an unsupported kind.")
    return cast("Image", image)


def decoding_bytes(encoded: bytes, max_pixels: int = 100_000_000) -> int:
    """Estimates the memory that `decode` takes, from the header; raises SourceError as `decode` does."""
    kind, (width, height) = _checked(encoded, max_pixels)
    progressive = kind == "JPEG" and _jpeg_scans(encoded) > 1
    return width * height * (PROGRESSIVE_JPEG_BYTES if progressive else DECODING_BYTES[kind])


def picture_size(encoded: bytes, max_pixels: int) -> tuple[int, int]:
    """Returns width and height; raises SourceError as `decode` does."""
    return _checked(encoded, max_pixels)[1]


def _checked(encoded: bytes, max_pixels: int) -> tuple[str, tuple[int, int]]:
    """Returns format and size of a picture whose decoding takes bounded time and memory.

    Raises:
        SourceError: it would not, or the picture is not supported or damaged.
    """
    kind = image_kind(encoded)
    if kind is None:
        raise SourceError("The bytes are not a JPEG, PNG, WebP, AVIF, HEIC, GIF or BMP picture.")
    size = image_size(kind, encoded)
    if size is None:
        raise SourceError(f"The {kind} picture's header is damaged.")
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise SourceError(
            f"The picture has {size[0]} x {size[1]} pixels; at most {max_pixels} are allowed (FACES_MAX_PIXELS)."
        )
    if kind == "JPEG" and (scans := _jpeg_scans(encoded)) > 1:
        if scans > MAX_SCANS:
            raise SourceError(f"The JPEG picture has {scans} scans; at most {MAX_SCANS} are allowed.")
        if scans * pixels > MAX_PASSES * max_pixels:
            raise SourceError(
                f"The JPEG picture has {scans} scans of {size[0]} x {size[1]} pixels; at most"
                f" {MAX_PASSES * max_pixels} pixels are allowed in all scans ({MAX_PASSES} times FACES_MAX_PIXELS)."
            )
    return kind, size


def _heic(encoded: bytes) -> Image:
    """Decodes HEIC, rotated by the file's own properties; EXIF only repeats these (ISO/IEC 23008-12, 6.5.10)."""
    try:
        from pillow_heif import open_heif
    except ImportError as error:
        raise SourceError("HEIC pictures need the extra heic: run pip install 'faces[heic]'.") from error
    try:
        picture = open_heif(encoded, convert_hdr_to_8bit=True, bgr_mode=True)
        return np.ascontiguousarray(np.asarray(picture, np.uint8)[:, :, :3])
    except (ValueError, OSError, EOFError, RuntimeError, SyntaxError, IndexError) as error:
        raise SourceError(f"The HEIC picture cannot be decoded: {error}.") from error


def read_image(path: PathLike[str], max_pixels: int) -> Image:
    """Decodes a picture file.

    Raises:
        SourceError: as `decode`; the text names the file.
    """
    encoded = read_file(path)
    try:
        return decode(encoded, max_pixels)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error


def read_file(path: PathLike[str]) -> bytes:
    """Reads a picture file; raises SourceError when it is too large."""
    with Path(path).open("rb") as file:
        content = file.read(MAX_IMAGE_BYTES + 1)
    if len(content) > MAX_IMAGE_BYTES:
        raise SourceError(f"{path} is larger than {MAX_IMAGE_BYTES >> 20} MiB, the limit for pictures.")
    return content


def image_kind(head: bytes) -> str | None:
    """Returns the picture format of a file by its first bytes; None: not a supported picture."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and len(head) >= 16:
        brands = {head[i : i + 4] for i in (8, *range(16, min(_be32(head, 0), len(head) - 3), 4))}
        if b"avif" in brands:
            return "AVIF"
        if brands & {b"heic", b"heix", b"mif1"}:
            return "HEIC"
        return None
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    return None


def image_size(kind: str, data: bytes) -> tuple[int, int] | None:
    """Returns width and height from the header, to refuse a decompression bomb before decoding; None: damaged."""
    try:
        match kind:
            case "JPEG":
                return _jpeg_size(data)
            case "PNG":
                return (_be32(data, 16), _be32(data, 20)) if data[12:16] == b"IHDR" else None
            case "WebP":
                return _webp_size(data)
            case "GIF":
                return cast("tuple[int, int]", struct.unpack_from("<HH", data, 6))
            case "BMP":
                width, height = struct.unpack_from("<ii", data, 18)
                return abs(width), abs(height)
            case "AVIF":
                stated, coded = _heif_size(data), _av1_size(data)
                return max(stated, coded, key=prod) if stated and coded else None
            case _:
                return _heif_size(data)
    except (struct.error, IndexError):
        return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest size of the start-of-frame segments before the first scan; several of them are an
    attack."""
    position, sizes = 2, []
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _ONE_BYTE_MARKERS:
            position += 2
        elif marker == 0xDA:
            break
        else:
            if marker in _START_OF_FRAME:
                height, width = struct.unpack_from(">HH", data, position + 5)
                sizes.append((width, height))
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None


def _jpeg_scans(data: bytes) -> int:
    """Counts the scans up to the end of the picture; thumbnails in headers and appended pictures do not count."""
    scans, position = 0, 2
    while (marker := _MARKER.search(data, position)) is not None and data[marker.start() + 1] != 0xD9:
        scans += data[marker.start() + 1] == 0xDA
        length = data[marker.end() : marker.end() + 2]
        position = marker.end() + (0 if data[marker.start() + 1] == 0xD8 else max(2, int.from_bytes(length)))
    return scans


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            bits = struct.unpack_from("<I", data, 21)[0]
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _heif_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest `ispe` property (ISO/IEC 23008-12, 6.5.3): others are of tiles or of the thumbnail."""
    sizes, position = [], data.find(b"ispe")
    while position >= 0:
        sizes.append((_be32(data, position + 8), _be32(data, position + 12)))
        position = data.find(b"ispe", position + 4)
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None


def _still_avif(data: bytes) -> bytes:
    """Returns an AVIF file without its animation, so that what is decoded is the picture whose size is known."""
    position, still = 0, bytearray(data)
    while 0 <= position <= len(data) - 16:
        size, kind = _be32(data, position), data[position + 4 : position + 8]
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


def _av1_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest size that the AV1 data itself state: they are decoded in it, whatever `ispe` says."""
    try:
        with av.open(BytesIO(_still_avif(data)), format="mov") as container:
            return max(
                ((stream.width, stream.height) for stream in container.streams.video), key=prod, default=None
            )
    except FFmpegError:
        return None


def _be32(data: bytes, offset: int) -> int:
    return cast("int", struct.unpack_from(">I", data, offset)[0])
