"""Drawing primitives: shapes on a layer with a coverage mask, and compositing the layer over a picture.

Points are fractions of the picture's side; colours are BGR.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Layer = NDArray[np.float32]
Point = NDArray[np.float64]

SKIN = ((66, 86, 141), (96, 134, 198), (125, 172, 224), (172, 195, 241), (150, 180, 230), (45, 60, 90))
"""Skin colours in BGR."""


def new_layer(side: int) -> tuple[Layer, Mask]:
    """Returns an empty layer and its coverage mask."""
    return np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.uint8)


def laid_over(image: Image, layer: Layer, cover: Mask, rng: Generator, opacity: float = 1.0) -> Image:
    """Composites the layer over the picture where ``cover`` is set, with a soft edge, texture and a shadow around
    it."""
    side = image.shape[0]
    texture = cv2.resize(
        rng.normal(1, 0.07, (8, 8)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    grain = rng.normal(0, rng.uniform(0.5, 6), (side, side, 1)).astype(np.float32)
    soft = max(0.4, side * rng.uniform(0.002, 0.008))
    alpha = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), soft)[:, :, None] * opacity
    dark = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), side * 0.03)[:, :, None]
    below = image * (1 - rng.uniform(0, 0.35) * dark)
    return np.asarray(
        np.clip(below * (1 - alpha) + (layer * texture[:, :, None] + grain) * alpha, 0, 255), np.uint8
    )


def pixels(points: Point, side: int) -> NDArray[np.int32]:
    """Converts points to pixels."""
    return np.rint(points * side).astype(np.int32)


def rounded(layer: Layer, cover: Mask, shape: Mask, colour: Point, depth: float = 0.45) -> None:
    """Fills a shape with shading that is darker towards its edge, as of a rounded body."""
    distance = cv2.distanceTransform(shape, cv2.DIST_L2, 3)
    body = shape > 0
    if not body.any():
        return
    height = np.sqrt(np.clip(distance[body] / max(float(distance.max()), 1.0), 0, 1))
    layer[body] = colour[None, :] * (1 - depth + depth * height[:, None])
    cover[body] = 255


def stroke(layer: Layer, cover: Mask, path: Point, width: float, colour: Point) -> None:
    """Draws a flat line along a path."""
    side = cover.shape[0]
    thickness = max(1, round(width * side))
    cv2.polylines(layer, [pixels(path, side)], False, tuple(map(float, colour)), thickness, cv2.LINE_AA)
    cv2.polylines(cover, [pixels(path, side)], False, 255, thickness)


def limb(layer: Layer, cover: Mask, path: Point, width: float, colour: Point) -> None:
    """Draws a thick line along a path, shaded as a rounded body."""
    side = cover.shape[0]
    shape = np.zeros_like(cover)
    cv2.polylines(shape, [pixels(path, side)], False, 255, max(2, round(width * side)))
    rounded(layer, cover, shape, colour)


def skin_colour(image: Image, rng: Generator) -> Point:
    """Returns a skin colour: usually that of the face, because most hands are the person's own."""
    side = image.shape[0]
    if rng.random() < 0.7:
        patch = image[int(side * 0.45) : int(side * 0.65), int(side * 0.35) : int(side * 0.65)]
        colour = np.median(patch.reshape(-1, 3), axis=0)
    else:
        colour = np.array(SKIN[int(rng.integers(len(SKIN)))], np.float64)
    return np.asarray(np.clip(colour * rng.uniform(0.75, 1.3) + rng.normal(0, 6, 3), 5, 255), np.float64)


def hair_colour(rng: Generator) -> Point:
    """Returns a random hair colour."""
    tones = ((20, 20, 25), (30, 45, 70), (60, 110, 160), (110, 170, 210), (120, 120, 125), (30, 50, 130))
    return np.array(tones[int(rng.integers(len(tones)))], np.float64) * rng.uniform(0.7, 1.2)


def tilted_box(at: Point, wide: float, high: float, angle: float) -> Point:
    """Returns the corners of a rotated rectangle with half sides ``wide`` and ``high``; the angle is in radians."""
    corners = np.array([[-wide, -high], [wide, -high], [wide, high], [-wide, high]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(corners @ turn + at, np.float64)
