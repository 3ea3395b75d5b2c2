"""Several portraits of a person as one picture, to be looked over at a glance."""

from collections.abc import Sequence

import cv2
import numpy as np

from facecore.video.images import decode, encode
from facecore.video.picture import Image

QUALITY = 80


def strip(portraits: Sequence[bytes | None], side: int) -> bytes:
    """The portraits side by side, squares of `side` pixels, as JPEG; one that is missing leaves its place grey."""
    tiles = [_empty(side) if portrait is None else _tile(decode(portrait), side) for portrait in portraits]
    return encode(np.hstack(tiles), QUALITY)


def small(portrait: bytes, side: int) -> bytes:
    """The portrait as a JPEG square of `side` pixels."""
    return encode(_tile(decode(portrait), side), QUALITY)


def _tile(portrait: Image, side: int) -> Image:
    smaller = portrait.shape[0] > side
    return np.asarray(
        cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR),
        np.uint8,
    )


def _empty(side: int) -> Image:
    return np.full((side, side, 3), 128, np.uint8)
