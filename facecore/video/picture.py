"""From a decoded frame to the picture as it is meant to be seen."""

import struct
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # height x width x 3, blue green red

WIDEST_PIXEL = 10
"""Pixel aspect ratios beyond this are taken for damage; real ones lie between 1:2 and 3:1."""


def to_image(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Image:
    """The frame in BGR, 8 bit, square pixels, turned and mirrored as its display matrix says.

    Args:
        pixel_aspect: width of a pixel divided by its height; None for square ones.
    """
    image = cast("Image", frame.to_ndarray(format="bgr24", threads=1))
    width = shown_width(frame.width, pixel_aspect)
    if width != frame.width:
        interpolation = cv2.INTER_AREA if width < frame.width else cv2.INTER_LINEAR
        image = cast("Image", cv2.resize(image, (width, frame.height), interpolation=interpolation))
    transpose, mirror, flip = orientation(frame)
    if transpose:
        image = cast("Image", cv2.transpose(image))
    if mirror or flip:
        code = -1 if mirror and flip else 1 if mirror else 0
        image = cast("Image", cv2.flip(image, code))
    return image


def shown_width(width: int, pixel_aspect: Fraction | None) -> int:
    """Columns of the picture once its pixels are square; rows stay as they are."""
    if not pixel_aspect or not Fraction(1, WIDEST_PIXEL) <= pixel_aspect <= WIDEST_PIXEL:
        return width
    return max(1, round(width * pixel_aspect))


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to show the frame: whether to transpose it, then to mirror it left-right, then top-bottom.

    The display matrix maps (x, y) to (a x + c y, b x + d y), in 16.16 fixed point, row by row
    (libavutil/display.h). Angles other than quarter turns go to the nearest one.
    """
    # Not `frame.side_data`: the frame would keep that, and that the frame, pixels and all, until the collector of
    # cycles runs, which counts objects and not bytes.
    side_data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]  # not in its stub
    if side_data is None:
        return False, False, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side_data))
    if a == b == c == d == 0:
        return False, False, False
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def quarter_turns(transpose: bool, mirror: bool, flip: bool) -> int:
    """Clockwise degrees of an orientation; a mirror image counts as the turn that it comes from."""
    if transpose:
        return 90 if mirror else 270
    return 180 if mirror and flip else 0
