"""Draws hands, glasses, masks and objects. Positions and sizes are fractions of the picture's side."""

import cv2
import numpy as np
from numpy.random import Generator

from models.occlusion.painting import (
    Image,
    Point,
    laid_over,
    limb,
    new_layer,
    pixels,
    rounded,
    skin_colour,
    stroke,
    tilted_box,
)

EYE_DISTANCE = 0.27
"""Average distance of the eyes in face crops."""


def paint_hand(image: Image, rng: Generator, at: Point, large: float, angle: float) -> Image:
    """Draws a hand with its arm.

    Args:
        at: centre of the palm.
        large: half of the palm's width.
        angle: direction of the arm in radians (0: right, π/2: down).
    """
    side = image.shape[0]
    layer, cover = new_layer(side)
    skin = skin_colour(image, rng)
    away = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-away[1], away[0]]) * rng.choice([-1, 1])
    pose = rng.choice(["open", "spread", "fist", "pointing"], p=[0.35, 0.25, 0.25, 0.15])
    sleeve = rng.uniform(20, 235, 3) if rng.random() < 0.5 else skin * 0.9
    limb(
        layer,
        cover,
        np.array([at + away * large * 1.6, at + away * 1.6]),
        large * rng.uniform(1.3, 2.2),
        sleeve,
    )
    limb(layer, cover, np.array([at, at + away * large * 2.0]), large * 1.25, skin)
    palm = np.zeros_like(cover)
    size = (
        max(2, round(large * side * rng.uniform(0.9, 1.15))),
        max(2, round(large * side * rng.uniform(0.8, 1.05))),
    )
    turn = float(np.degrees(angle))
    cv2.ellipse(palm, tuple(map(int, pixels(at, side))), size, turn, 0, 360, 255, -1)
    rounded(layer, cover, palm, skin, 0.3)
    fan = rng.uniform(0.5, 0.9) if pose == "spread" else rng.uniform(0.0, 0.25)
    long = large * (rng.uniform(0.5, 0.8) if pose == "fist" else rng.uniform(1.3, 2.1))
    for finger in range(4):
        place = finger / 1.5 - 1
        reach = long * (1 - 0.15 * abs(place + 0.2))
        if pose == "pointing" and finger not in (1, 2 if rng.random() < 0.5 else 1):
            reach = large * 0.5
        root = at + across * place * large * 0.75 - away * large * 0.6
        heading = -away * np.cos(place * fan) + across * np.sin(place * fan)
        knuckle = root + heading * reach * 0.55
        bent = heading + rng.normal(0, 0.18, 2)
        tip = knuckle + bent * reach * 0.45
        tone = np.clip(skin * rng.uniform(0.9, 1.1), 0, 255)
        limb(layer, cover, np.array([root, knuckle, tip]), large * rng.uniform(0.36, 0.46), tone)
        if rng.random() < 0.3:
            stroke(
                layer,
                cover,
                np.array([tip, tip + bent * 0.004]),
                large * 0.2,
                np.clip(skin * 1.15 + 10, 0, 255),
            )
    thumb = at + across * large * 0.8
    end = thumb + (across * rng.uniform(0.2, 1.0) - away * rng.uniform(0.1, 0.9)) * large
    limb(
        layer,
        cover,
        np.array([at + across * large * 0.4 + away * large * 0.3, thumb, end]),
        large * 0.42,
        skin,
    )
    return laid_over(image, layer, cover, rng)


def paint_glasses(image: Image, rng: Generator, at: tuple[float, float], *, tinted: bool) -> Image:
    """Draws glasses centred ``at``, with dark or clear lenses."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    apart = EYE_DISTANCE * rng.uniform(0.92, 1.1)
    wide, high = rng.uniform(0.1, 0.135), rng.uniform(0.06, 0.105)
    frame = rng.uniform(0, 70, 3) if rng.random() < 0.7 else rng.uniform(60, 220, 3)
    glass = rng.uniform(0, 60, 3) if rng.random() < 0.75 else rng.uniform(30, 200, 3)
    rim = max(1, round(side * rng.uniform(0.006, 0.022)))
    power = rng.choice([2.0, 3.0, 5.0])
    turn = np.linspace(0, 2 * np.pi, 40)
    # A superellipse: from round lenses to nearly square ones.
    ring = np.stack(
        [
            np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power) * wide,
            np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power) * high,
        ],
        axis=1,
    )
    gloss = np.linspace(rng.uniform(0.8, 1.6), rng.uniform(0.5, 1.0), side)[:, None, None].astype(np.float32)
    for sign in (-1, 1):
        points = pixels(ring + np.array([at[0] + sign * apart / 2, at[1]]), side)
        if tinted:
            cv2.fillPoly(layer, [points], tuple(map(float, glass)))
            cv2.fillPoly(cover, [points], 255)
    if tinted:
        layer *= gloss
    for sign in (-1, 1):
        points = pixels(ring + np.array([at[0] + sign * apart / 2, at[1]]), side)
        cv2.polylines(layer, [points], True, tuple(map(float, frame)), rim, cv2.LINE_AA)
        cv2.polylines(cover, [points], True, 255, rim)
        temple = np.array([[at[0] + sign * (apart / 2 + wide), at[1]], [at[0] + sign * 0.34, at[1] - 0.01]])
        stroke(layer, cover, temple, rim / side, frame)
    bridge = np.array([[at[0] - apart / 2 + wide, at[1] - 0.01], [at[0] + apart / 2 - wide, at[1] - 0.01]])
    stroke(layer, cover, bridge, rim / side, frame)
    return laid_over(image, layer, cover, rng, rng.uniform(0.88, 1.0) if tinted else 1.0)


def paint_mask(image: Image, rng: Generator, top: float, bottom: float) -> Image:
    """Draws a surgical, cloth or FFP mask between two heights."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    kind = rng.choice(["surgical", "cloth", "ffp"])
    colour = {
        "surgical": np.array([205, 190, 130]) * rng.uniform(0.8, 1.15),
        "cloth": rng.uniform(5, 245, 3),
        "ffp": np.array([235, 235, 232]) * rng.uniform(0.75, 1.0),
    }[str(kind)]
    wide = rng.uniform(0.24, 0.3)
    middle = (top + bottom) / 2
    nose = top - rng.uniform(0.0, 0.05)
    outline = np.array(
        [
            [0.5 - wide, top + 0.03],
            [0.5 - wide * 0.5, top],
            [0.5, nose],
            [0.5 + wide * 0.5, top],
            [0.5 + wide, top + 0.03],
            [0.5 + wide * 0.92, middle + 0.06],
            [0.5 + wide * 0.5, bottom - 0.02],
            [0.5, bottom],
            [0.5 - wide * 0.5, bottom - 0.02],
            [0.5 - wide * 0.92, middle + 0.06],
        ]
    ) + rng.normal(0, 0.006, (10, 2))
    shape = np.zeros_like(cover)
    cv2.fillPoly(shape, [pixels(outline, side)], 255)
    rounded(layer, cover, shape, np.clip(colour, 0, 255), 0.3)
    if kind == "surgical":
        for fold in (0.3, 0.5, 0.7):
            y = top + fold * (bottom - top)
            crease = np.array([[0.5 - wide * 0.9, y - 0.01], [0.5, y + 0.01], [0.5 + wide * 0.9, y - 0.01]])
            stroke(layer, cover, crease, 0.006, np.clip(colour * 0.8, 0, 255))
    if kind == "cloth" and rng.random() < 0.5:
        layer[shape > 0] *= rng.uniform(0.6, 1.3, (int((shape > 0).sum()), 1))
    for sign in (-1, 1):
        strap = np.array([[0.5 + sign * wide, top + 0.04], [0.5 + sign * 0.36, top - 0.06]])
        stroke(layer, cover, strap, 0.01, np.clip(colour * 0.95 + 10, 0, 255))
    return laid_over(image, layer, cover, rng)


def paint_cup(image: Image, rng: Generator, at: Point) -> Image:
    """Draws a cup."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    wide, high = rng.uniform(0.1, 0.18), rng.uniform(0.12, 0.2)
    body = tilted_box(at + np.array([0, high * 0.4]), wide, high, rng.normal(0, 0.15))
    body[2:] = body[2:] * 0.8 + body[2:].mean(axis=0) * 0.2
    shape = np.zeros_like(cover)
    cv2.fillPoly(shape, [pixels(body, side)], 255)
    rounded(layer, cover, shape, rng.uniform(10, 250, 3), 0.35)
    stroke(layer, cover, body[:2], 0.015, rng.uniform(10, 250, 3))
    return laid_over(image, layer, cover, rng)


def paint_microphone(image: Image, rng: Generator, at: Point) -> Image:
    """Draws a microphone."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    dark = np.full(3, rng.uniform(15, 110))
    away = np.array([rng.normal(0, 0.4), 1.0])
    limb(layer, cover, np.array([at, at + away * 0.9]), rng.uniform(0.06, 0.09), dark)
    head = np.zeros_like(cover)
    cv2.circle(head, tuple(map(int, pixels(at, side))), round(side * rng.uniform(0.075, 0.12)), 255, -1)
    rounded(layer, cover, head, np.clip(dark * rng.uniform(0.7, 2.0), 0, 255), 0.6)
    ball = head > 0
    layer[ball] *= rng.uniform(0.6, 1.3, (int(ball.sum()), 1))
    return laid_over(image, layer, cover, rng)


def paint_phone(image: Image, rng: Generator, at: Point) -> Image:
    """Draws a phone."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    wide = rng.uniform(0.1, 0.15)
    angle = rng.normal(0, 0.3) + (np.pi / 2 if rng.random() < 0.3 else 0)
    box = tilted_box(at, wide, wide * 2, angle)
    colour = rng.uniform(5, 60, 3) if rng.random() < 0.7 else rng.uniform(100, 250, 3)
    cv2.fillPoly(layer, [pixels(box, side)], tuple(map(float, colour)))
    cv2.fillPoly(cover, [pixels(box, side)], 255)
    lens = box[0] * 0.8 + box[2] * 0.2
    cv2.circle(layer, tuple(map(int, pixels(lens, side))), round(side * 0.025), (20.0, 15.0, 15.0), -1)
    return laid_over(image, layer, cover, rng)


def paint_book(image: Image, rng: Generator, at: Point) -> Image:
    """Draws a book that covers the lower half of the face."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    box = tilted_box(
        np.array([0.5, max(at[1], 0.6) + 0.2]),
        rng.uniform(0.3, 0.45),
        rng.uniform(0.25, 0.3),
        rng.normal(0, 0.1),
    )
    cv2.fillPoly(layer, [pixels(box, side)], tuple(map(float, rng.uniform(10, 250, 3))))
    cv2.fillPoly(cover, [pixels(box, side)], 255)
    ink = rng.uniform(0, 255, 3)
    for line in np.linspace(0.2, 0.8, int(rng.integers(2, 6))):
        left, right = box[0] * (1 - line) + box[3] * line, box[1] * (1 - line) + box[2] * line
        stroke(
            layer,
            cover,
            np.array([left * 0.8 + right * 0.2, left * 0.25 + right * 0.75]),
            rng.uniform(0.01, 0.03),
            ink,
        )
    return laid_over(image, layer, cover, rng)


def paint_scarf(image: Image, rng: Generator, at: Point) -> Image:
    """Draws a scarf over the lower half of the face."""
    side = image.shape[0]
    layer, cover = new_layer(side)
    top = rng.uniform(0.5, 0.64)
    colour = rng.uniform(10, 240, 3)
    x = np.linspace(-0.05, 1.05, 24)
    wave = top + 0.06 * (2 * x - 1) ** 2 + np.cumsum(rng.normal(0, 0.006, 24))
    outline = np.concatenate([np.stack([x, wave], 1), [[1.05, 1.05], [-0.05, 1.05]]])
    cv2.fillPoly(layer, [pixels(outline, side)], tuple(map(float, colour)))
    cv2.fillPoly(cover, [pixels(outline, side)], 255)
    for fold in range(int(rng.integers(3, 8))):
        lower = np.stack([x, wave + (fold + 1) * rng.uniform(0.03, 0.08)], 1)
        stroke(layer, cover, lower, rng.uniform(0.01, 0.03), np.clip(colour * rng.uniform(0.6, 1.2), 0, 255))
    return laid_over(image, layer, cover, rng)
