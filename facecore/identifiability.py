"""Whether a picture shows enough of a face to tell people apart, and brightening what is nearly black.

An embedder gives similar vectors for all faces of which it sees nothing, so their similarity proves nothing.
"""

from typing import NamedTuple

import cv2
import numpy as np

from facecore.align import FaceInImage, Image, aligned

MIN_CONTRAST = 13.0
"""Least difference of the brightest and the darkest twentieth of an identifiable face, of 255. Below it, a quarter
and more of the pairs of different people are as alike as one person; of 615 ordinary faces one, in a dark audience,
has less."""
MIN_DETAIL = 0.03
"""Least standard deviation of an identifiable face after subtraction of a blurred copy, as a share of the contrast.
Below it, half of the pairs of different people are as alike as one person; no ordinary face has less."""
MIN_SIDE = 12.0
"""Least shorter side of the box of an identifiable face, in pixels."""
DARK_BELOW = 24.0
"""Faces whose brightest twentieth is darker, of 255, are brightened for people to see."""
SHOWN_BRIGHTNESS, MAX_GAIN = 200.0, 40.0
"""Brightness of the brightest hundredth of a brightened portrait, of 255; most that a value is multiplied with."""
_BLUR_PIXELS, _INSIDE = 3.0, slice(6, -6)
_FACE_ROWS, _FACE_COLUMNS = slice(20, 108), slice(20, 92)
"""From the brows to the chin in an aligned crop, without hair and background."""


class Visibility(NamedTuple):
    """What can be seen of a face.

    Attributes:
        identifiable: enough to tell people apart.
        dark: so little light that people see nothing.
    """

    identifiable: bool
    dark: bool


def visibility(face: FaceInImage) -> Visibility:
    """Returns what can be seen of a face."""
    grey = cv2.cvtColor(aligned(face), cv2.COLOR_BGR2GRAY)[_FACE_ROWS, _FACE_COLUMNS].astype(np.float32)
    low, high = (float(v) for v in np.percentile(grey, (5, 95)))
    detail = float((grey - cv2.GaussianBlur(grey, (0, 0), _BLUR_PIXELS))[_INSIDE, _INSIDE].std())
    x_min, y_min, x_max, y_max = face.box
    contrasty = high - low >= MIN_CONTRAST and detail >= MIN_DETAIL * (high - low)
    return Visibility(contrasty and min(x_max - x_min, y_max - y_min) >= MIN_SIDE, high < DARK_BELOW)


def brightened(portrait: Image) -> Image:
    """Returns a portrait with its values multiplied so that people see the face."""
    top = float(np.percentile(portrait.max(axis=2), 99))
    gain = min(MAX_GAIN, max(1.0, SHOWN_BRIGHTNESS / max(top, 1.0)))
    return np.asarray(cv2.convertScaleAbs(portrait, alpha=gain), np.uint8)
