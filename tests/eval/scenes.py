"""Films made of photographs of faces: pans over a crowd, cuts back and forth, changes of light, the dark.

Each sample comes with the exact truth: whose face is where. Everyone is seen in a pan, and in two other scenes or a
dialogue.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import Image
from facecore.geometry import Box, area, clipped

WIDTH, HEIGHT = 1280, 720
"""Pixels of a frame."""
LEAST_VISIBLE = 0.6
"""Share of a face's box inside the frame from which on the truth lists it."""
MOST_ENLARGED = 2.0
"""A photograph is enlarged by no more, so that faces do not consist of blur."""
PAN_PEOPLE, ROWS, PAN_STEPS = 20, 2, (120, 320)
"""People in a pan; rows of faces; least and most pixels from one sample to the next: faces of neighbouring samples
overlap in the slow ones only."""
SIDE_IN_PAN, SIDE_IN_GROUP, SIDE_IN_DIALOGUE = (55, 100), (80, 130), (150, 250)
"""Least and most pixels of the longer side of a face's box."""
TALKERS, SHOTS, SHOT_SAMPLES = 2, 3, (1, 3)
"""People of a dialogue; shots of each; samples of a shot."""
GROUP, GROUP_SAMPLES = 4, 3
"""People of a scene in changing light or in the dark; its samples."""
DARK, NOISE = (0.12, 0.3), 2.5
"""Brightness in the dark, as a share of the photograph's; standard deviation of the noise of every frame, of 255."""


class Portrait(NamedTuple):
    """A photograph of a person, cut around the face, and the face's box in it."""

    picture: Image
    box: Box


class Sample(NamedTuple):
    """A frame, and the boxes of the faces in it with the people's names."""

    image: Image
    faces: list[tuple[Box, str]]


class Placed(NamedTuple):
    """A portrait in a scene: its centre and the side of its face in pixels, and its turn in degrees."""

    person: str
    portrait: Portrait
    x: float
    y: float
    side: float
    turn: float


Light = Callable[[float], NDArray[np.float64]]
"""From the time in a scene, 0-1, to the factors of blue, green and red."""


def film(people: dict[str, list[Portrait]], rng: np.random.Generator, *, dark: bool) -> Iterator[Sample]:
    """Yields the samples of a film in which everyone is seen.

    Args:
        people: photographs by name; a new scene or shot takes any of them.
        dark: whether all scenes are in the dark, or one in four.
    """
    scenes: list[tuple[Callable[..., Iterator[Sample]], list[str]]] = []
    names = sorted(people)
    scenes += [(_pan, cast) for cast in _casts(names, PAN_PEOPLE, rng)]
    third = set(rng.permutation(names)[: len(names) // 3].tolist())
    scenes += [(_dialogue, cast) for cast in _casts(sorted(third), TALKERS, rng)]
    for _ in range(2):  # in other company
        scenes += [(_group, cast) for cast in _casts(sorted({*names} - third), GROUP, rng)]
    for number in rng.permutation(len(scenes)):
        scene, cast = scenes[number]
        light = _dark(rng) if dark or rng.random() < 0.25 else _changing(rng)
        yield from scene(cast, people, light, rng)


def _casts(names: Sequence[str], size: int, rng: np.random.Generator) -> list[list[str]]:
    """Returns random groups of this size; the last one may be smaller."""
    shuffled = rng.permutation(names).tolist()
    return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]


def _pan(
    cast: Sequence[str], people: dict[str, list[Portrait]], light: Light, rng: np.random.Generator
) -> Iterator[Sample]:
    """The camera moves along rows of people."""
    placed = []
    for number, name in enumerate(cast):
        column, row = divmod(number, ROWS)
        x = 700 + column * 210 + rng.uniform(-25, 25)
        placed.append(_placed(name, people, x, HEIGHT * (row + 0.5) / ROWS, SIDE_IN_PAN, rng))
    step = rng.uniform(*PAN_STEPS)
    way = max(0.0, max(one.x for one in placed) + 150 - WIDTH)
    samples = int(way / step) + 2
    ground = _ground(rng)
    for number in range(samples):
        moved = [one._replace(x=one.x - min(way, number * step)) for one in placed]
        yield _drawn(ground, moved, light(number / samples), rng)


def _dialogue(
    cast: Sequence[str], people: dict[str, list[Portrait]], light: Light, rng: np.random.Generator
) -> Iterator[Sample]:
    """Close shots of the people in turn, with a cut between them."""
    grounds = [_ground(rng) for _ in cast]
    for shot in range(SHOTS):
        for name, ground in zip(cast, grounds, strict=True):
            one = _placed(name, people, rng.uniform(420, 860), rng.uniform(300, 420), SIDE_IN_DIALOGUE, rng)
            samples = int(rng.integers(*SHOT_SAMPLES, endpoint=True))
            for number in range(samples):
                yield _drawn(ground, [_stirred(one, rng)], light((shot + number / samples) / SHOTS), rng)


def _group(
    cast: Sequence[str], people: dict[str, list[Portrait]], light: Light, rng: np.random.Generator
) -> Iterator[Sample]:
    """People side by side while the light changes."""
    placed = [
        _placed(name, people, WIDTH * (number + 0.5) / len(cast), rng.uniform(250, 470), SIDE_IN_GROUP, rng)
        for number, name in enumerate(cast)
    ]
    ground = _ground(rng)
    for number in range(GROUP_SAMPLES):
        yield _drawn(ground, [_stirred(one, rng) for one in placed], light(number / GROUP_SAMPLES), rng)


def _placed(
    name: str,
    people: dict[str, list[Portrait]],
    x: float,
    y: float,
    side: tuple[int, int],
    rng: np.random.Generator,
) -> Placed:
    portrait = people[name][int(rng.integers(len(people[name])))]
    own = max(portrait.box[2] - portrait.box[0], portrait.box[3] - portrait.box[1])
    return Placed(name, portrait, x, y, min(rng.uniform(*side), MOST_ENLARGED * own), rng.normal(0, 6))


def _stirred(one: Placed, rng: np.random.Generator) -> Placed:
    """Returns the person a moment later."""
    x, y, turn = rng.normal(0, (0.12 * one.side, 0.06 * one.side, 3))
    return one._replace(
        x=one.x + x, y=one.y + y, turn=one.turn + turn, side=one.side * rng.uniform(0.93, 1.07)
    )


def _ground(rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns a soft background without faces."""
    rough = (rng.uniform(30, 190, (5, 9, 1)) * rng.uniform(0.85, 1.15, (5, 9, 3))).astype(np.float32)
    return np.asarray(cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def _changing(rng: np.random.Generator) -> Light:
    """Returns a light that goes from one brightness and colour to another."""
    start, end = rng.uniform(0.35, 1.15, 2)[:, None] * rng.uniform(0.8, 1.2, (2, 3))
    return lambda time: start + time * (end - start)


def _dark(rng: np.random.Generator) -> Light:
    brightness = rng.uniform(*DARK) * rng.uniform(0.8, 1.2, 3)
    return lambda _: brightness


def _drawn(
    ground: NDArray[np.float32],
    placed: Sequence[Placed],
    light: NDArray[np.float64],
    rng: np.random.Generator,
) -> Sample:
    """Returns the frame of these people in this light."""
    image, faces = ground.copy(), []
    for one in placed:
        x_min, y_min, x_max, y_max = one.portrait.box
        scale = one.side / max(x_max - x_min, y_max - y_min)
        _paste(image, one, scale)
        half_width, half_height = scale * (x_max - x_min) / 2, scale * (y_max - y_min) / 2
        box = one.x - half_width, one.y - half_height, one.x + half_width, one.y + half_height
        inside = clipped(box, WIDTH, HEIGHT)
        if inside[0] < inside[2] and area(inside) >= LEAST_VISIBLE * area(box):
            faces.append((inside, one.person))
    lit = image * light.astype(np.float32) + rng.normal(0, NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return Sample(np.asarray(lit.clip(0, 255), np.uint8), faces)


def _paste(image: NDArray[np.float32], one: Placed, scale: float) -> None:
    """Draws a portrait into a frame, turned around the middle of the face, with soft edges."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(one.portrait.picture, None, fx=scale, fy=scale, interpolation=how)
    height, width = picture.shape[:2]
    x_min, y_min, x_max, y_max = (scale * value for value in one.portrait.box)
    middle = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    left, top = round(one.x - middle[0]), round(one.y - middle[1])
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + width, WIDTH), min(top + height, HEIGHT)
    if x1 >= x2 or y1 >= y2:
        return
    mask = np.zeros((height, width), np.float32)
    inset_x, inset_y = max(1, width // 25), max(1, height // 25)
    mask[inset_y:-inset_y, inset_x:-inset_x] = 1
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.015 * width)), np.float32)
    turn = cv2.getRotationMatrix2D(middle, one.turn, 1.0)
    soft, shown = (cv2.warpAffine(source, turn, (width, height)) for source in (mask, picture))
    seen = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
    share = np.asarray(soft, np.float32)[seen][..., None]
    image[y1:y2, x1:x2] += share * (np.asarray(shown, np.float32)[seen] - image[y1:y2, x1:x2])
