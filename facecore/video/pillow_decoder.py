"""Decodes through Pillow the pictures that OpenCV does not show as people see them.

These are AVIF, HEIC, TIFF and GIF, CMYK pictures, transparent pictures, those with a colour profile, and those of
high dynamic range.
"""

import struct
from functools import lru_cache
from io import BytesIO
from typing import cast

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from facecore.video.dynamic_range import HLG, PQ, in_standard_range
from facecore.video.errors import SourceError
from facecore.video.heif import stated_colours
from facecore.video.memory import raise_if_short
from facecore.video.picture import Image
from facecore.video.upright import EXIF_TURNINGS, UPRIGHT, Turning

PILLOW_NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WebP": "WEBP", "AVIF": "AVIF", "TIFF": "TIFF", "GIF": "GIF"}
"""Picture format → Pillow's name of it; HEIC is opened by pillow-heif."""
SAME_COLOUR = 6
"""Largest difference (of 255) of a few colours for which a profile counts as sRGB: most files that carry a profile
carry one of sRGB's many variants, and stay as they are."""
MAX_PROFILE_BYTES = 4 << 20
"""Larger colour profiles are ignored; those of presses have 2 MB."""
ROWS_AT_A_TIME = 256
"""Rows that a colour profile is applied to at a time, so that it needs no second copy of the picture."""
_RAW_TAGS = (50706, 50831)
"""TIFF tags of DNG: a camera raw file, whose first picture is a preview."""
_NEW_SUBFILE_TYPE = 254
ERRORS = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
    RuntimeError, EOFError, MemoryError, struct.error, Pillow.DecompressionBombError, ImageCms.PyCMSError,
)  # fmt: skip
"""What Pillow and its plug-ins raise for damaged files."""

# The pixels of a picture are checked against FACES_MAX_PIXELS before it is opened here, and once more after.
Pillow.MAX_IMAGE_PIXELS = None


def decode_with_pillow(kind: str, encoded: bytes, max_pixels: int) -> Image:
    """Decodes the first picture of a file to BGR, 8 bit, upright, in sRGB, transparent parts white.

    Raises:
        SourceError: the picture is damaged, has too many pixels, or is of a kind that is not supported.
    """
    try:
        picture = _opened(kind, encoded)
        if picture.width * picture.height > max_pixels:
            raise SourceError(
                f"The picture has {picture.width} x {picture.height} pixels; at most {max_pixels} are allowed"
                " (FACES_MAX_PIXELS)."
            )
        if kind != "HEIC":  # its properties are applied; EXIF only repeats these (ISO/IEC 23008-12, 6.5.10)
            ImageOps.exif_transpose(picture, in_place=True)
        profile = picture.info.get("icc_profile") or b""
        shown = np.asarray(_in_rgb(_eight_bits(kind, picture), profile), np.uint8)
        if (colours := high_dynamic_range(kind, encoded)) is not None:
            return in_standard_range(shown.astype(np.uint16) * 257, *colours)
        return in_srgb(np.ascontiguousarray(shown[:, :, ::-1]), profile)
    except ERRORS as error:
        raise _refusal(kind, error) from error


def high_dynamic_range(kind: str, encoded: bytes) -> tuple[int, int] | None:
    """Returns the primaries and the transfer function of a picture of PQ or HLG; None: it is of another kind."""
    colours = None
    if kind in ("AVIF", "HEIC"):
        colours = stated_colours(encoded)
    elif kind == "PNG" and (chunk := encoded.find(b"\0\0\0\x04cICP", 0, max(0, encoded.find(b"IDAT")))) > 0:
        colours = encoded[chunk + 8], encoded[chunk + 9]
    return colours if colours is not None and colours[1] in (PQ, HLG) else None


def picture_turning(kind: str, encoded: bytes) -> Turning:
    """Returns the turning that EXIF asks for; that of HEIC is part of its decoding.

    Raises:
        SourceError: the header is damaged.
    """
    if kind in ("BMP", "HEIC"):
        return UPRIGHT
    try:
        return EXIF_TURNINGS.get(_opened(kind, encoded).getexif().get(0x0112, 1), UPRIGHT)
    except ERRORS as error:
        raise _refusal(kind, error) from error


def shown_size(kind: str, encoded: bytes, size: tuple[int, int]) -> tuple[int, int]:
    """Returns width and height of the upright picture, where ``size`` is that of the stored one.

    Raises:
        SourceError: the header is damaged.
    """
    try:
        if kind in ("TIFF", "HEIC"):  # the decoder states the size of the upright picture
            return _opened(kind, encoded).size
        return picture_turning(kind, encoded).size(*size)
    except ERRORS as error:
        raise _refusal(kind, error) from error


def opened_size(kind: str, encoded: bytes) -> tuple[int, int]:
    """Returns width and height of the first picture of a TIFF or GIF file; in GIF it may be larger than the screen
    that the header states.

    Raises:
        SourceError: the header is damaged, or the file is a camera raw file.
    """
    try:
        return _opened(kind, encoded).size
    except ERRORS as error:
        raise _refusal(kind, error) from error


def in_srgb(image: Image, profile: bytes) -> Image:
    """Converts a BGR picture in place from its colour profile to sRGB, a few rows at a time; a profile that cannot be
    used, or is empty, changes nothing."""
    if (transform := _transform(profile, "RGB")) is not None:
        for top in range(0, len(image), ROWS_AT_A_TIME):
            rows = image[top : top + ROWS_AT_A_TIME]
            shown = Pillow.fromarray(np.ascontiguousarray(rows[:, :, ::-1]))
            ImageCms.applyTransform(shown, transform, inPlace=True)
            rows[:] = np.asarray(shown, np.uint8)[:, :, ::-1]
    return image


def _opened(kind: str, encoded: bytes) -> Pillow.Image:
    """Opens a picture; its pixels are decoded later, those of HEIC at once."""
    if kind == "HEIC":
        try:
            from pillow_heif import open_heif
        except ImportError as error:
            raise SourceError("HEIC pictures need the extra heic: run pip install 'faces[heic]'.") from error
        return cast("Pillow.Image", open_heif(encoded, convert_hdr_to_8bit=True).to_pillow())
    picture = Pillow.open(BytesIO(encoded), formats=[PILLOW_NAMES[kind]])
    for packet in (
        "xmp",
        "XML:com.adobe.xmp",
    ):  # Pillow would take an orientation from it; browsers and OpenCV do not
        picture.info.pop(packet, None)
    if kind == "TIFF":
        tags = picture.getexif()
        if any(tag in tags for tag in _RAW_TAGS) or int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1:
            raise SourceError("Camera raw pictures are not supported: export them as JPEG or TIFF.")
    return picture


def _eight_bits(kind: str, picture: Pillow.Image) -> Pillow.Image:
    """Returns the picture with at most 8 bits a channel."""
    if picture.mode.startswith("I;16"):
        return Pillow.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise SourceError(f"{kind} pictures with 32 bits a channel are not supported.")
    return picture


def _in_rgb(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    """Returns the picture in RGB, transparent parts white; the profile is applied to CMYK only."""
    if picture.has_transparency_data:
        transparent = picture.convert("RGBA")
        shown = Pillow.new("RGB", picture.size, "white")
        shown.paste(transparent, mask=transparent.getchannel("A"))
        return shown
    if picture.mode == "CMYK" and (transform := _transform(profile, "CMYK")) is not None:
        return cast("Pillow.Image", ImageCms.applyTransform(picture, transform))
    return picture.convert("RGB")


@lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the conversion of pictures in this mode to sRGB; None: nothing changes, or the profile is damaged, too
    large or not for the mode."""
    if not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB":
            levels = np.array([0, 64, 128, 192, 255], np.uint8)
            colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(5, 25, 3)
            shown = ImageCms.applyTransform(Pillow.fromarray(colours), transform)
            if np.abs(np.asarray(shown).astype(int) - colours).max() <= SAME_COLOUR:
                return None
    except ERRORS:
        return None
    return transform


def _refusal(kind: str, error: Exception) -> SourceError:
    raise_if_short(error)
    if isinstance(error, UnidentifiedImageError) or not str(error):
        return SourceError(f"The {kind} picture cannot be decoded: it is damaged or of an unsupported kind.")
    return SourceError(f"The {kind} picture cannot be decoded: {str(error).rstrip('.')}.")
