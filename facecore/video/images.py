"""Encodes, decodes and identifies pictures: picture files, and frames sent between the stages."""

import struct
from collections.abc import Iterator
from math import prod
from os import PathLike
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.video.errors import SourceError
from facecore.video.heif import av1_size, be32, heif_size, still_avif
from facecore.video.memory import raise_if_short
from facecore.video.picture import Image
from facecore.video.pillow_decoder import (
    decode_with_pillow,
    high_dynamic_range,
    in_srgb,
    opened_size,
    shown_size,
)
from facecore.video.scans import check_markers, check_scans, jpeg_scans

PictureFormat = Literal["jpeg", "webp", "png"]
MAX_IMAGE_BYTES = 256 << 20
HEAD_BYTES = 1 << 16
"""Beginning of a file that `image_kind` and `image_size` need."""
DECODING_BYTES = {"JPEG": 6, "PNG": 6, "WebP": 8, "BMP": 6}
"""Peak of memory while decoding, in bytes a pixel, measured with pictures of 9 and 36 megapixels."""
PROGRESSIVE_JPEG_BYTES = 9
"""The same for a JPEG of several scans: its coefficients are held until the last one."""
PILLOW_BYTES, PILLOW_BYTES_OF = 18, {"WebP": 28, "AVIF": 24}
"""The same for pictures that Pillow decodes, and for formats that take more there."""
HIGH_DYNAMIC_RANGE_BYTES = 80
"""The same for pictures of PQ and HLG, whose light is computed."""
UNSUPPORTED = {
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop", b"%PDF": "PDF", b"<svg": "SVG", b"\x76\x2f\x31\x01": "OpenEXR", b"FUJIFILM": "camera raw",
    b"IIU\0": "camera raw", b"IIRO": "camera raw",
}  # fmt: skip
"""First bytes of picture formats that are named when they are refused."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ONE_BYTE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


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
    """Decodes a picture as people see it: BGR, 8 bit, upright, in sRGB, transparent parts white.

    Of an animation or a file of several pictures, the first picture is decoded.

    Raises:
        SourceError: the bytes are not a picture of a supported format, are damaged, or have too many pixels.
    """
    kind, _, _ = _checked(encoded, max_pixels)
    if _needs_pillow(kind, encoded):
        return decode_with_pillow(kind, still_avif(encoded) if kind == "AVIF" else encoded, max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise_if_short(error)
        raise SourceError(f"The {kind} picture cannot be decoded: {error.err}.") from error
    if image is None:
        raise SourceError(f"The {kind} picture cannot be decoded: it is damaged or of an unsupported kind.")
    profile = _jpeg_profile(encoded) if kind == "JPEG" else b""
    return in_srgb(cast("Image", image), profile) if profile else cast("Image", image)


def decoding_bytes(encoded: bytes, max_pixels: int = 100_000_000) -> int:
    """Estimates the memory that `decode` takes, from the header; raises SourceError as `decode` does."""
    kind, (width, height), scans = _checked(encoded, max_pixels)
    if _needs_pillow(kind, encoded):
        if high_dynamic_range(kind, encoded):
            return width * height * HIGH_DYNAMIC_RANGE_BYTES
        return width * height * PILLOW_BYTES_OF.get(kind, PILLOW_BYTES)
    return width * height * (PROGRESSIVE_JPEG_BYTES if scans > 1 else DECODING_BYTES[kind])


def decode_grey(encoded: bytes, max_pixels: int = 100_000_000) -> NDArray[np.uint8]:
    """Decodes a picture of OpenCV's formats in grey, as it is stored; raises SourceError as `decode`."""
    kind, _, _ = _checked(encoded, max_pixels)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if image is None:
        raise SourceError(f"The {kind} picture cannot be decoded: it is damaged or of an unsupported kind.")
    return cast("NDArray[np.uint8]", image)


def picture_size(encoded: bytes, max_pixels: int) -> tuple[int, int]:
    """Returns width and height of the upright picture; raises SourceError as `decode` does."""
    kind, size, _ = _checked(encoded, max_pixels)
    return shown_size(kind, encoded, size)


def _checked(encoded: bytes, max_pixels: int) -> tuple[str, tuple[int, int], int]:
    """Returns format, size and number of scans of a picture whose decoding takes bounded time and memory.

    Raises:
        SourceError: it would not, or the picture is not supported or damaged.
    """
    kind = image_kind(encoded)
    if kind is None:
        other = next((name for head, name in UNSUPPORTED.items() if encoded.startswith(head)), None)
        found = f"{other} pictures are not supported: it is" if other else "The bytes are"
        raise SourceError(f"{found} not a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP picture.")
    size = image_size(kind, encoded)
    if size is None:
        raise SourceError(f"The {kind} picture's header is damaged.")
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise SourceError(
            f"The picture has {size[0]} x {size[1]} pixels; at most {max_pixels} are allowed (FACES_MAX_PIXELS)."
        )
    scans = jpeg_scans(encoded) if kind == "JPEG" else 1
    check_scans(scans, size, max_pixels, "The JPEG picture")
    return kind, size, scans


def _needs_pillow(kind: str, encoded: bytes) -> bool:
    """Returns whether OpenCV would not show the picture as people see it: transparent, with a profile, in CMYK, of
    high dynamic range."""
    match kind:
        case "JPEG":
            return any(
                marker in _START_OF_FRAME and encoded[at + 7 : at + 8] == b"\4"
                for marker, at in _jpeg_segments(encoded)
            )
        case "PNG":
            head = encoded[: max(0, encoded.find(b"IDAT"))]
            return encoded[25:26] in (b"\4", b"\6") or any(
                chunk in head for chunk in (b"tRNS", b"iCCP", b"cICP")
            )
        case "WebP" if encoded[12:16] == b"VP8X":
            return bool(int.from_bytes(encoded[20:21]) & 0x30)
        case "WebP":
            return encoded[12:16] == b"VP8L" and bool(int.from_bytes(encoded[24:25]) & 0x10)
        case _:
            return kind != "BMP"


def _jpeg_profile(data: bytes) -> bytes:
    """Returns the colour profile of a JPEG picture, which may be spread over several segments; empty without one."""
    parts = [at for _, at in _jpeg_segments(data) if data.startswith(b"ICC_PROFILE\0", at + 2)]
    parts.sort(key=lambda at: data[at + 14 : at + 15])
    return b"".join(data[at + 16 : at + int.from_bytes(data[at : at + 2])] for at in parts)


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
        brands = {head[i : i + 4] for i in (8, *range(16, min(be32(head, 0), len(head) - 3), 4))}
        if b"avif" in brands:
            return "AVIF"
        if brands & {b"heic", b"heix", b"mif1"}:
            return "HEIC"
        return None
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and head[8:10] != b"CR":  # not Canon's raw files
        return "TIFF"
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
                return (be32(data, 16), be32(data, 20)) if data[12:16] == b"IHDR" else None
            case "WebP":
                return _webp_size(data)
            case "GIF" | "TIFF":
                return opened_size(kind, data)
            case "BMP":
                width, height = struct.unpack_from("<ii", data, 18)
                return abs(width), abs(height)
            case "AVIF":
                stated, coded = heif_size(data), av1_size(data)
                return max(stated, coded, key=prod) if stated and coded else None
            case _:
                return heif_size(data)
    except (struct.error, IndexError):
        return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns the largest size of the start-of-frame segments before the first scan; several of them are an
    attack."""
    frames = [at for marker, at in _jpeg_segments(data) if marker in _START_OF_FRAME]
    sizes = [struct.unpack_from(">HH", data, at + 3)[::-1] for at in frames]
    return max(sizes, key=prod, default=None)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and offset of the segments before the first scan; bytes between them are left out, as by
    decoders."""
    position, found = 2, 0
    while (position := data.find(b"\xff", position)) >= 0 and position + 4 <= len(data):
        marker = data[position + 1]
        check_markers(found := found + 1)
        if marker == 0xDA:
            return
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker == 0 or marker in _ONE_BYTE_MARKERS:
            position += 2
        else:
            yield marker, position + 2
            position += 2 + int.from_bytes(data[position + 2 : position + 4])


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
