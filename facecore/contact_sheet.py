"""Contact sheets: several portraits of a person side by side in one picture."""

from collections.abc import Sequence

import cv2
import numpy as np

from facecore.video.images import decode, encode
from facecore.video.picture import Image

JPEG_QUALITY = 80
"""1-100."""


def contact_sheet(portraits: Sequence[bytes | None], side: int) -> bytes:
    """Returns the portraits side by side, squares of ``side`` pixels, as JPEG; a missing one leaves a grey square."""
    tiles = [_empty(side) if portrait is None else _tile(decode(portrait), side) for portrait in portraits]
    return encode(np.hstack(tiles), JPEG_QUALITY)


def thumbnail(portrait: bytes, side: int) -> bytes:
    """Returns the portrait as a JPEG square of ``side`` pixels."""
    return encode(_tile(decode(portrait), side), JPEG_QUALITY)


def _tile(portrait: Image, side: int) -> Image:
    shrinks = portrait.shape[0] > side
    return np.asarray(
        cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
        np.uint8,
    )


def _empty(side: int) -> Image:
    return np.full((side, side, 3), 128, np.uint8)
