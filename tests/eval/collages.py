"""Frames of any size with any number of faces, made from the photograph that the insightface package ships."""

from pathlib import Path

import cv2
import insightface
import numpy as np

from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput

CELL = 96
"""Side in pixels of the square that a face gets."""
SIZES = ((480, 854), (576, 720), (720, 1280), (1080, 1920), (576, 1024))
"""Height and width; the smallest has room for 40 faces."""
MOST = 40


def faces_of(analyzer: Analyzer) -> list[Image]:
    """The photograph's faces, each a square of `CELL` pixels."""
    file = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    picture = np.asarray(cv2.imread(str(file)), np.uint8)
    (found,) = analyzer.analyze([FrameInput(0, 0.0, picture, None)])
    crops = []
    for face in found.faces:
        x1, y1, x2, y2 = (round(value) for value in face.box)
        wide = (x2 - x1) // 3
        crop = picture[max(0, y1 - wide) : y2 + wide, max(0, x1 - wide) : x2 + wide]
        crops.append(np.asarray(cv2.resize(crop, (CELL, CELL)), np.uint8))
    return crops


def crowd(faces: list[Image], count: int, rng: np.random.Generator) -> Image:
    """A grey picture of one of `SIZES` with ``count`` faces at most in it, as many as there is room for."""
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    image = np.full((height, width, 3), int(rng.integers(40, 200)), np.uint8)
    cells = [(y, x) for y in range(0, height - CELL + 1, CELL) for x in range(0, width - CELL + 1, CELL)]
    for y, x in rng.permutation(cells)[:count]:
        image[y : y + CELL, x : x + CELL] = faces[int(rng.integers(len(faces)))]
    return image
