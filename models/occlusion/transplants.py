"""Transplants: a part of one photographed crop laid over another, so that few photographed hands cover many faces.

Crops show the face at about the same place, so that the lower or upper part of one fits over the same part of the
other.
"""

import numpy as np
from numpy.random import Generator

from models.occlusion.painting import Image

UPPER = {"sunglasses"}
"""Types of occluders over the upper part of the face; the others are over the lower part."""
EYES_Y, MOUTH_Y = 0.42, 0.74
"""Height of the middle of an elliptical part, as a fraction of the side."""


def with_part_of(image: Image, other: Image, kind: str, rng: Generator) -> Image:
    """Returns ``image`` with the part of ``other`` that an occluder of this type covers.

    Both are square BGR crops of one size. The part is half of the picture or an ellipse in it, has a soft edge, and
    is usually brought near to the colours of ``image``. From a clean crop the part may be either half: a seam must
    not be a sign of a class.
    """
    side = image.shape[0]
    upper = kind in UPPER or (kind == "clean" and rng.random() < 0.3)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    inside = y - rng.uniform(0.5, 0.6) - rng.normal(0, 0.12) * (x - 0.5)
    if upper:
        inside = -inside
    if rng.random() < 0.5:
        width, height = rng.uniform(0.3, 0.5), rng.uniform(0.28, 0.4)
        radius = np.hypot((x - 0.5) / width, (y - (EYES_Y if upper else MOUTH_Y)) / height)
        inside = np.minimum(inside, 0.3 * (1 - radius))
    alpha = np.clip(inside / rng.uniform(0.02, 0.1) + 0.5, 0, 1)[:, :, None]
    part = (other[:, ::-1] if rng.random() < 0.5 else other).astype(np.float32)
    if rng.random() < 0.7:
        (mean, spread), (wanted, wanted_spread) = _colours(part), _colours(image)
        gain = np.clip(wanted_spread / (spread + 1), 0.6, 1.6)
        part = (part - mean) * gain + 0.7 * wanted + 0.3 * mean
    return np.asarray(np.clip(image * (1 - alpha) + part * alpha, 0, 255), np.uint8)


def _colours(image: Image | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image.mean((0, 1)), image.std((0, 1))
