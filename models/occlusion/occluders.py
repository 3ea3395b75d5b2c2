"""What hides a face, drawn over a crop: hands, sunglasses, masks, hair, things; and what only looks like it.

Every painter takes a square (S, S, 3) uint8 BGR crop in which the face fills the middle (the detector's box with a
margin of 18 % on every side, as facecore crops it) and returns a new one. Positions are fractions of S; the same
generator state gives the same picture.
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
"""Where they lie on average in such crops."""


def occlude(image: Image, rng: Generator) -> tuple[Image, str]:
    """The crop with one random occluder over the face, and the occluder's type. Its label is occluded."""
    kinds = list(OCCLUDERS)
    kind = kinds[int(rng.choice(len(kinds), p=[OCCLUDERS[kind][1] for kind in kinds]))]
    return OCCLUDERS[kind][0](image, rng), kind


def decoy(image: Image, rng: Generator) -> Image:
    """The crop with something that hides nothing of the face. Its label is the label it had."""
    painter: Painter = DECOYS[int(rng.integers(len(DECOYS)))]
    return painter(image, rng)


def hand(image: Image, rng: Generator) -> Image:
    """A hand over the mouth, the eyes, a half or all of the face, its arm leaving the picture."""
    x, y = ((0.5, 0.70), (0.5, 0.72), EYES, (0.36, 0.55), (0.64, 0.55), CENTRE)[int(rng.integers(6))]
    at = np.array([x, y]) + rng.normal(0, 0.035, 2)
    large = rng.uniform(0.15, 0.24) if rng.random() < 0.65 else rng.uniform(0.09, 0.15)
    # The arm comes from below or from a side: hands rarely hang into a face.
    return paint_hand(image, rng, at, large, rng.uniform(-0.15, 1.15) * np.pi)


def hand_beside(image: Image, rng: Generator) -> Image:
    """A hand at the ear, in the hair or under the chin: the face stays free."""
    x, y = ((0.0, 0.5), (1.0, 0.5), (0.5, 1.06), (0.08, 0.12), (0.92, 0.12), (0.04, 0.9), (0.96, 0.9))[
        int(rng.integers(7))
    ]
    outwards = float(np.arctan2(y - CENTRE[1], x - CENTRE[0])) + rng.normal(0, 0.25)
    return paint_hand(image, rng, np.array([x, y]), rng.uniform(0.06, 0.1), outwards)


def sunglasses(image: Image, rng: Generator) -> Image:
    """Dark or mirrored lenses over both eyes."""
    return paint_glasses(image, rng, (EYES[0], EYES[1] + rng.normal(0, 0.015)), tinted=True)


def sunglasses_in_hair(image: Image, rng: Generator) -> Image:
    """Sunglasses pushed up: the face stays free."""
    return paint_glasses(image, rng, (0.5, rng.uniform(0.02, 0.1)), tinted=True)


def eyeglasses(image: Image, rng: Generator) -> Image:
    """Frames with clear lenses: by this project's labels the face stays free."""
    return paint_glasses(image, rng, (EYES[0], EYES[1] + rng.normal(0, 0.015)), tinted=False)


def mask(image: Image, rng: Generator) -> Image:
    """A surgical, cloth or FFP mask over mouth and nose."""
    return paint_mask(image, rng, top=rng.uniform(0.5, 0.58), bottom=rng.uniform(0.86, 0.94))


def mask_at_chin(image: Image, rng: Generator) -> Image:
    """A mask pulled down to the neck: the face stays free."""
    return paint_mask(image, rng, top=rng.uniform(0.92, 0.97), bottom=rng.uniform(1.05, 1.2))


def hair(image: Image, rng: Generator) -> Image:
    """Strands over the eyes or over a half of the face."""
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
    """Hair over the forehead alone: the face stays free."""
    side = image.shape[0]
    colour = hair_colour(rng)
    layer, cover = new_layer(side)
    for _ in range(80):
        x = rng.uniform(0.2, 0.8)
        path = np.array([[x, 0.02], [x + rng.normal(0, 0.02), rng.uniform(0.2, 0.3)]])
        stroke(layer, cover, path, 0.015, np.clip(colour * rng.uniform(0.6, 1.35), 0, 255))
    return laid_over(image, layer, cover, rng)


def thing(image: Image, rng: Generator) -> Image:
    """A cup, microphone, phone, book or scarf over a part of the face; held, sometimes, by a hand."""
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


def thing_beside(image: Image, rng: Generator) -> Image:
    """A thing next to the face or below it: the face stays free."""
    painter = (paint_cup, paint_microphone, paint_phone)[int(rng.integers(3))]
    at = np.array([(-0.02, 0.6), (1.02, 0.6), (0.5, 1.18)][int(rng.integers(3))])
    return painter(image, rng, at)


def shadow(image: Image, rng: Generator) -> Image:
    """Half of the face in the dark: seen worse, hidden by nothing."""
    side = image.shape[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    edge = (np.cos(angle) * x + np.sin(angle) * y + rng.uniform(-0.15, 0.15)) / rng.uniform(0.02, 0.25)
    light = 1 - rng.uniform(0.3, 0.75) / (1 + np.exp(np.clip(-edge, -30, 30)))
    return np.asarray(np.clip(image * light[:, :, None], 0, 255), np.uint8)


OCCLUDERS: dict[str, tuple[Painter, float]] = {
    "hand": (hand, 0.5),
    "object": (thing, 0.18),
    "sunglasses": (sunglasses, 0.12),
    "mask": (mask, 0.1),
    "hair": (hair, 0.1),
}
"""Painter and share by type: real hands and things are rare in the data, masks and sunglasses are not."""


DECOYS: tuple[Painter, ...] = (
    eyeglasses,
    eyeglasses,
    hand_beside,
    thing_beside,
    mask_at_chin,
    sunglasses_in_hair,
    fringe,
    shadow,
)
