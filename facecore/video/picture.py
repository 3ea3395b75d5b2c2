"""Converts decoded frames to upright BGR images with square pixels."""

import struct
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from facecore.video.dynamic_range import to_bgr
from facecore.video.interlace import deinterlaced
from facecore.video.side_data import side_data
from facecore.video.upright import UPRIGHT, Turning, turned

Image = NDArray[np.uint8]
"""(H, W, 3), BGR."""

MAX_PIXEL_ASPECT = 10
"""Pixel aspect ratios beyond this, or below its inverse, are ignored as damage; real ones are 1:2 to 3:1."""


def to_image(frame: av.VideoFrame, pixel_aspect: Fraction | None, codec: str) -> Image:
    """Converts a frame to BGR of standard dynamic range, 8 bit, without combing, with square pixels, rotated and
    mirrored by its display matrix.

    Args:
        pixel_aspect: width of a pixel divided by its height; None for square ones.
        codec: that the frame was decoded by.
    """
    image = deinterlaced(frame, to_bgr(frame))
    width = shown_width(frame.width, pixel_aspect)
    if width != frame.width:
        interpolation = cv2.INTER_AREA if width < frame.width else cv2.INTER_LINEAR
        image = cast("Image", cv2.resize(image, (width, frame.height), interpolation=interpolation))
    return turned(image, orientation(frame, codec))


def shown_width(width: int, pixel_aspect: Fraction | None) -> int:
    """Returns the width of the picture after scaling its columns to square pixels."""
    if not pixel_aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= pixel_aspect <= MAX_PIXEL_ASPECT:
        return width
    return max(1, round(width * pixel_aspect))


def orientation(frame: av.VideoFrame, codec: str) -> Turning:
    """Returns the turning that makes a frame upright.

    The display matrix maps (x, y) to (a x + c y, b x + d y), in 16.16 fixed point, row by row (libavutil/display.h).
    Other angles than quarter turns are rounded to the nearest quarter turn.
    """
    matrix = side_data(frame, Type.DISPLAYMATRIX, codec)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    if a == b == c == d == 0:
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turning(False, a < 0, d < 0)
    return Turning(True, c < 0, b < 0)
