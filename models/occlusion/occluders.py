"""Synthetic occluders drawn over face crops (hands, sunglasses, masks, hair, objects), and decoys that hide nothing.

Every painter takes a square (S, S, 3) uint8 BGR crop with the face in the middle (the detector's box with a margin of
18 % on every side, as in facecore) and returns a new one. Positions are fractions of S. The same generator state
gives the same picture.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from models.occlusion.painting import Image, hair_colour, laid_over, new_layer, stroke
from models.occlusion.shapes import (
    paint_book,
    paint_cup,
    paint_glasses,
    paint_hand,
    paint_mask,
    paint_microphone,
    paint_phone,
    paint_scarf,
)

Painter = Callable[[Image, Generator], Image]

EYES, NOSE, MOUTH, CENTRE = (0.5, 0.43), (0.5, 0.56), (0.5, 0.70), (0.5, 0.55)
"""Average positions (x, y) in such crops."""


def occlude(image: Image, rng: Generator) -> tuple[Image, str]:
    """Draws a random occluder over the face; returns the crop and the occluder's type. The label becomes occluded."""
    kinds = list(OCCLUDERS)
    kind = kinds[int(rng.choice(len(kinds), p=[OCCLUDERS[kind][1] for kind in kinds]))]
    return OCCLUDERS[kind][0](image, rng), kind


def decoy(image: Image, rng: Generator) -> Image:
    """Draws something that hides nothing of the face. The label does not change."""
    painter: Painter = DECOYS[int(rng.integers(len(DECOYS)))]
    return painter(image, rng)


def hand(image: Image, rng: Generator) -> Image:
    """Draws a hand over the mouth, the eyes, a half or all of the face, with an arm to the edge of the picture."""
    x, y = ((0.5, 0.70), (0.5, 0.72), EYES, (0.36, 0.55), (0.64, 0.55), CENTRE)[int(rng.integers(6))]
    at = np.array([x, y]) + rng.normal(0, 0.035, 2)
    large = rng.uniform(0.15, 0.24) if rng.random() < 0.65 else rng.uniform(0.09, 0.15)
    # The arm comes from below or from a side, rarely from above.
    return paint_hand(image, rng, at, large, rng.uniform(-0.15, 1.15) * np.pi)


def hand_beside(image: Image, rng: Generator) -> Image:
    """Draws a hand at the ear, in the hair or under the chin; the face stays free."""
    x, y = ((0.0, 0.5), (1.0, 0.5), (0.5, 1.06), (0.08, 0.12), (0.92, 0.12), (0.04, 0.9), (0.96, 0.9))[
        int(rng.integers(7))
    ]
    outwards = float(np.arctan2(y - CENTRE[1], x - CENTRE[0])) + rng.normal(0, 0.25)
    return paint_hand(image, rng, np.array([x, y]), rng.uniform(0.06, 0.1), outwards)


def sunglasses(image: Image, rng: Generator) -> Image:
    """Draws dark or mirrored lenses over both eyes."""
    return paint_glasses(image, rng, (EYES[0], EYES[1] + rng.normal(0, 0.015)), tinted=True)


def sunglasses_in_hair(image: Image, rng: Generator) -> Image:
    """Draws sunglasses pushed up into the hair; the face stays free."""
    return paint_glasses(image, rng, (0.5, rng.uniform(0.02, 0.1)), tinted=True)


def eyeglasses(image: Image, rng: Generator) -> Image:
    """Draws frames with clear lenses; by this project's labels the face stays free."""
    return paint_glasses(image, rng, (EYES[0], EYES[1] + rng.normal(0, 0.015)), tinted=False)


def mask(image: Image, rng: Generator) -> Image:
    """Draws a surgical, cloth or FFP mask over mouth and nose."""
    return paint_mask(image, rng, top=rng.uniform(0.5, 0.58), bottom=rng.uniform(0.86, 0.94))


def mask_at_chin(image: Image, rng: Generator) -> Image:
    """Draws a mask pulled down to the neck; the face stays free."""
    return paint_mask(image, rng, top=rng.uniform(0.92, 0.97), bottom=rng.uniform(1.05, 1.2))


def hair(image: Image, rng: Generator) -> Image:
    """Draws strands of hair over the eyes or over a half of the face."""
    side = image.shape[0]
    colour = hair_colour(rng)
    layer, cover = new_layer(side)
    over_eyes = rng.random() < 0.5
    x0, x1 = (0.2, 0.8) if over_eyes else ((0.18, 0.55) if rng.random() < 0.5 else (0.45, 0.82))
    reach = rng.uniform(0.5, 0.58) if over_eyes else rng.uniform(0.75, 1.0)
    for _ in range(int(rng.integers(90, 170))):
        x = rng.uniform(x0, x1)
        path = np.array(
            [
                [x + rng.normal(0, 0.03), 0.08],
                [x + rng.normal(0, 0.02), reach / 2],
                [x + rng.normal(0, 0.05), reach + rng.normal(0, 0.04)],
            ]
        )
        shade = np.clip(colour * rng.uniform(0.6, 1.35), 0, 255)
        stroke(layer, cover, path, rng.uniform(0.008, 0.022), shade)
    return laid_over(image, layer, cover, rng)


def fringe(image: Image, rng: Generator) -> Image:
    """Draws hair over the forehead only; the face stays free."""
    side = image.shape[0]
    colour = hair_colour(rng)
    layer, cover = new_layer(side)
    for _ in range(80):
        x = rng.uniform(0.2, 0.8)
        path = np.array([[x, 0.02], [x + rng.normal(0, 0.02), rng.uniform(0.2, 0.3)]])
        stroke(layer, cover, path, 0.015, np.clip(colour * rng.uniform(0.6, 1.35), 0, 255))
    return laid_over(image, layer, cover, rng)


def held_object(image: Image, rng: Generator) -> Image:
    """Draws a cup, microphone, phone, book or scarf over a part of the face, sometimes with a hand."""
    painter = (paint_cup, paint_microphone, paint_phone, paint_book, paint_scarf)[int(rng.integers(5))]
    x, y = (MOUTH, NOSE, MOUTH, (0.38, 0.5), (0.62, 0.5))[int(rng.integers(5))]
    at = np.array([x, y]) + rng.normal(0, 0.03, 2)
    covered = painter(image, rng, at)
    if painter is not paint_scarf and rng.random() < 0.4:
        return paint_hand(
            covered,
            rng,
            at + np.array([rng.normal(0, 0.05), 0.2]),
            rng.uniform(0.1, 0.15),
            rng.uniform(0.3, 0.7) * np.pi,
        )
    return covered


def object_beside(image: Image, rng: Generator) -> Image:
    """Draws an object beside or below the face; the face stays free."""
    painter = (paint_cup, paint_microphone, paint_phone)[int(rng.integers(3))]
    at = np.array([(-0.02, 0.6), (1.02, 0.6), (0.5, 1.18)][int(rng.integers(3))])
    return painter(image, rng, at)


def shadow(image: Image, rng: Generator) -> Image:
    """Darkens half of the face; the face stays free."""
    side = image.shape[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    edge = (np.cos(angle) * x + np.sin(angle) * y + rng.uniform(-0.15, 0.15)) / rng.uniform(0.02, 0.25)
    light = 1 - rng.uniform(0.3, 0.75) / (1 + np.exp(np.clip(-edge, -30, 30)))
    return np.asarray(np.clip(image * light[:, :, None], 0, 255), np.uint8)


OCCLUDERS: dict[str, tuple[Painter, float]] = {
    "hand": (hand, 0.5),
    "object": (held_object, 0.18),
    "sunglasses": (sunglasses, 0.12),
    "mask": (mask, 0.1),
    "hair": (hair, 0.1),
}
"""Type → painter and share. Hands and objects have a large share: photographed ones are rare in the data."""


DECOYS: tuple[Painter, ...] = (
    eyeglasses,
    eyeglasses,
    hand_beside,
    object_beside,
    mask_at_chin,
    sunglasses_in_hair,
    fringe,
    shadow,
)
