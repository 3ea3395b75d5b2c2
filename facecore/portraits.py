"""Portraits: the square around a face, turned upright, and the part of it that lies within the picture."""

from typing import NamedTuple

import numpy as np

from facecore.align import Image, crop, tilt
from facecore.geometry import Box, squared
from facecore.turning import UPRIGHT_DEGREES, lies
from facecore.video.images import decode, encode
from schemas.observations import ObservedFace

PORTRAIT_SCALE = 1.5
"""Side of a portrait in longer sides of the box."""
PORTRAIT_MAX_SIDE = 256
"""Pixels."""
PORTRAIT_JPEG_QUALITY = 90
"""1-100."""
EDGE = 0.02
"""Of half a portrait: so wide a stripe at the edge of the picture is left out too, since a JPEG mixes it with what is
beyond."""
LEAST_PART, STEPS = 0.4, 30
"""Least side of the part that is shown, in sides of the portrait; number of sides that are tried."""


class FaceInPortrait(NamedTuple):
    """A portrait, with the shape of the face's box in it.

    Attributes:
        aspect: width of the box divided by its height (`aspect`).
    """

    image: Image
    aspect: float

    @property
    def box(self) -> Box:
        """Returns the box of the face in pixels of the portrait."""
        whole = self.image.shape[0]
        longer = whole / PORTRAIT_SCALE
        half_width, half_height = longer * min(1.0, self.aspect) / 2, longer / max(1.0, self.aspect) / 2
        return (
            whole / 2 - half_width,
            whole / 2 - half_height,
            whole / 2 + half_width,
            whole / 2 + half_height,
        )


def aspect(face: ObservedFace) -> float:
    """Returns the width of a face's box divided by its height, as the upright head of its portrait has them."""
    x_min, y_min, x_max, y_max = face.box
    ratio = max(1.0, x_max - x_min) / max(1.0, y_max - y_min)
    return round(1 / ratio if lies(tilt(np.array(face.landmarks, np.float32).reshape(5, 2))) else ratio, 4)


def portrait(image: Image, box: Box) -> Image:
    """Cuts out the square around a face, at most 256 pixels a side, BGR. Beyond the picture it has one colour."""
    around = squared(box, PORTRAIT_SCALE)
    side = max(1, round(min(PORTRAIT_MAX_SIDE, around[2] - around[0])))
    return crop(image, around, side, plain=True)


def part_within(face: ObservedFace, width: int, height: int) -> Box | None:
    """Returns the largest square of a face's portrait that lies within its picture, in sides of the portrait.

    Args:
        width, height: of the picture.

    Returns:
        None: the whole portrait lies within.
    """
    x_min, y_min, x_max, y_max = squared(face.box, PORTRAIT_SCALE)
    half, center = (x_max - x_min) / 2, np.array([(x_min + x_max) / 2, (y_min + y_max) / 2])
    degrees = tilt(np.array(face.landmarks, np.float32).reshape(5, 2))
    radians = np.radians(degrees if abs(degrees) > UPRIGHT_DEGREES else 0.0)
    cos, sin = float(np.cos(radians)), float(np.sin(radians))
    to_portrait, reach = np.array([[cos, sin], [-sin, cos]]), abs(cos) + abs(sin)
    size, edge = np.array([width, height], np.float64), 1 + EDGE * half
    if (reach * half <= np.minimum(center, size - center)).all():
        return None
    for part in np.linspace(1.0, LEAST_PART, STEPS):
        beyond = np.minimum(
            reach * part * half + edge, size / 2
        )  # a square wider than the picture: its middle
        moved = to_portrait @ (np.clip(center, beyond, size - beyond) - center) / half
        fits = (reach * part * half + edge <= size / 2).all()
        if fits and np.abs(moved).max() + part <= 1.0:
            break
    x, y = (float(v) for v in np.clip(moved, part - 1.0, 1.0 - part))
    return (1 + x - part) / 2, (1 + y - part) / 2, (1 + x + part) / 2, (1 + y + part) / 2


def trimmed(encoded: bytes, part: Box) -> bytes:
    """Returns a square part of an encoded portrait, given in its sides, as JPEG."""
    image = decode(encoded)
    whole = image.shape[0]
    side = max(1, int(whole * (part[2] - part[0])))
    left, top = (min(whole - side, round(whole * share)) for share in part[:2])
    shown = image[top : top + side, left : left + side]
    return encode(np.ascontiguousarray(shown), PORTRAIT_JPEG_QUALITY)
