"""Upright pictures: the eight ways in which a picture may lie, and how to find the one of a picture without tags."""

from itertools import product
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

LOOK_SIDE = 24
"""Rows and columns of a look."""
CLEARLY = 0.7
"""Another turning than the expected one is believed when its difference is less than this part of the expected
one's: pictures of one film differ by coding and by a frame, lying ones by far more."""


class Turning(NamedTuple):
    """Operations that make a picture upright: transpose, then mirror left-right, then flip top-bottom."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    @property
    def rotation(self) -> int:
        """Clockwise degrees of the rotation that, followed by `mirrored`, is this turning."""
        if self.transpose:
            return 270 if self.flip else 90
        return 180 if self.flip else 0

    @property
    def mirrored(self) -> bool:
        """Whether the rotated picture is mirrored left-right."""
        return (self.transpose + self.mirror + self.flip) % 2 == 1

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height of the upright picture."""
        return (height, width) if self.transpose else (width, height)


UPRIGHT = Turning()
TURNINGS = tuple(Turning(*operations) for operations in product((False, True), repeat=3))
EXIF_TURNINGS = {
    2: Turning(False, True, False), 3: Turning(False, True, True), 4: Turning(False, False, True),
    5: Turning(True, False, False), 6: Turning(True, True, False), 7: Turning(True, True, True),
    8: Turning(True, False, True),
}  # fmt: skip
"""By the orientation tag of EXIF; others leave the picture as it is."""


def turned(image: NDArray[np.uint8], turning: Turning) -> NDArray[np.uint8]:
    """Returns the upright picture."""
    if turning.transpose:
        image = cast("NDArray[np.uint8]", cv2.transpose(image))
    if turning.mirror or turning.flip:
        code = -1 if turning.mirror and turning.flip else 1 if turning.mirror else 0
        image = cast("NDArray[np.uint8]", cv2.flip(image, code))
    return image


def remaining(whole: Turning, done: Turning) -> Turning:
    """Returns what is still to be done to a picture to which another turning was applied."""
    mark = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    upright, begun = turned(mark, whole), turned(mark, done)
    return next(turning for turning in TURNINGS if np.array_equal(turned(begun, turning), upright))


def by_opencv(turning: Turning) -> Turning:
    """Returns what OpenCV's reader of films applies of a turning: it takes the angle of the display matrix, mirrored
    or not, and never mirrors."""
    if turning.transpose:
        return Turning(True, not turning.flip, turning.flip)
    return Turning(False, turning.mirror, turning.mirror)


def look(image: NDArray[np.uint8]) -> bytes:
    """Returns a grey picture of `LOOK_SIDE` squared, by which pictures are compared whatever their size."""
    small = cv2.resize(image, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)).tobytes()


def turning_like(image: NDArray[np.uint8], wanted: bytes, expected: Turning) -> Turning:
    """Returns the turning that makes a picture look most like another one; the expected one where that is not clear.

    Args:
        wanted: the look of the other picture.
    """
    grey = np.frombuffer(wanted, np.uint8).reshape(LOOK_SIDE, LOOK_SIDE).astype(np.float32)
    seen = np.frombuffer(look(image), np.uint8).reshape(LOOK_SIDE, LOOK_SIDE)
    differences = {
        turning: float(np.abs(turned(cast("NDArray[np.uint8]", seen), turning) - grey).mean())
        for turning in TURNINGS
    }
    best = min(TURNINGS, key=lambda turning: differences[turning])
    return best if differences[best] < CLEARLY * differences[expected] else expected


def stretched(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Returns the picture in this size; the picture itself where it has the size already."""
    if image.shape[1::-1] == (width, height):
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast("NDArray[np.uint8]", cv2.resize(image, (width, height), interpolation=interpolation))
