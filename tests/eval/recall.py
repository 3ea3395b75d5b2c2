"""Measures how many faces are found, by the size of the picture and of the faces.

    python -m tests.eval.recall [--pack open] [--people DIR [--half 0|1]] [--faces PIXELS...] [--pictures WxH...]

Each picture is grey and shows eight copies of a portrait: the astronaut of scikit-image, or one photograph of each
person of DIR, which has a directory for each; with --half only of every other person. Prints a table of the share of
faces found, and the detector's milliseconds for each picture.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import structlog

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.geometry import Box, iou
from schemas.cgroups import usable_cores
from tests.inputs import people_folder, picture, require, run_command

COPIES = 8
FACE_SIDES = (20, 26, 32, 48, 64, 96, 150)
"""Shorter sides of the faces' boxes, pixels."""
PICTURES = ((640, 360), (720, 480), (854, 480), (1280, 499), (1280, 500), (1280, 534), (1280, 720), (1920, 1080),
            (3840, 2160), (6000, 4000), (8000, 1000))  # fmt: skip
"""Width and height in pixels."""
SAME_FACE = 0.4
"""Overlap (intersection over union) from which a detection is of a face."""
GREY = 110
MIN_PORTRAIT_PIXELS, MAX_PORTRAIT_SHARE = 60, 0.7
"""Photographs whose face is smaller, or fills more of the photograph, make no portrait."""


def composed(
    portrait: Image, face: Box, width: int, height: int, face_side: float
) -> tuple[Image, list[Box]]:
    """Returns a picture with up to eight copies of a portrait in a grid, and the boxes of the faces."""
    scale = face_side / min(face[2] - face[0], face[3] - face[1])
    copy = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = copy.shape[:2]
    across = max(1, min(COPIES, width // columns))
    down = max(1, min(-(-COPIES // across), height // rows))
    canvas, boxes = np.full((height, width, 3), GREY, np.uint8), []
    for number in range(min(COPIES, across * down)):
        row, column = divmod(number, across)
        x = round((column + 0.5) * width / across - columns / 2)
        y = round((row + 0.5) * height / down - rows / 2)
        if x < 0 or y < 0 or x + columns > width or y + rows > height:
            continue
        canvas[y : y + rows, x : x + columns] = copy
        x_min, y_min, x_max, y_max = (side * scale for side in face)
        boxes.append((x + x_min, y + y_min, x + x_max, y + y_max))
    return canvas, boxes


def photographs(analyzer: Analyzer, people: Path) -> list[Image]:
    """Returns the first photograph of each person that makes a portrait, in the order of the names."""
    chosen = []
    for person in sorted(folder for folder in people.iterdir() if folder.is_dir()):
        for file in sorted(person.iterdir()):
            image = picture(file)
            (seen,) = analyzer._pack.detector.detect([image], analyzer._workers)
            sides = [min(box[2] - box[0], box[3] - box[1]) for box in seen.boxes[:1]]
            if sides and MIN_PORTRAIT_PIXELS <= sides[0] < MAX_PORTRAIT_SHARE * min(image.shape[:2]):
                chosen.append(image)
                break
    return chosen


def found(analyzer: Analyzer, picture: Image, boxes: list[Box]) -> int:
    """Returns how many of the boxes are found at the pack's default confidence."""
    detector = analyzer._pack.detector
    (seen,) = detector.detect([picture], analyzer._workers)
    confident = seen.boxes[detector.confidence(seen.scores) >= detector.min_confidence]
    return sum(bool((iou(np.array(box), confident) >= SAME_FACE).any()) for box in boxes)


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", default="open")
    parser.add_argument("--faces", type=int, nargs="+", default=FACE_SIDES, metavar="PIXELS")
    parser.add_argument("--pictures", type=size, nargs="+", metavar="WxH", help="sizes of the pictures")
    parser.add_argument("--people", type=people_folder, metavar="DIR")
    parser.add_argument("--half", type=int, choices=(0, 1))
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load(arguments.pack, models, device="cpu", threads=usable_cores())
    detector = analyzer._pack.detector
    if arguments.people:
        portraits = photographs(analyzer, arguments.people)
        portraits = portraits if arguments.half is None else portraits[arguments.half :: 2]
    else:
        from skimage.data import astronaut

        portraits = [np.ascontiguousarray(astronaut()[:, :, ::-1])]  # type: ignore[no-untyped-call]
    require(portraits, f"No photograph in {arguments.people} makes a portrait.")
    shown = []
    for image in portraits:
        (seen,) = detector.detect([image], analyzer._workers)
        shown.append((image, tuple(float(side) for side in seen.boxes[0])))
    print(f"{'picture':>11} {'ms':>6}", *(f"{side:>5}" for side in arguments.faces))
    for width, height in arguments.pictures or PICTURES:
        shares, started, pictures = [], 0.0, 0
        for side in arguments.faces:
            hits = total = 0
            for image, box in shown:
                picture, boxes = composed(image, box, width, height, side)  # type: ignore[arg-type]
                begun = time.perf_counter()
                hits += found(analyzer, picture, boxes)
                started += time.perf_counter() - begun
                total, pictures = total + len(boxes), pictures + 1
            shares.append(f"{hits / total:5.2f}" if total else "    -")
        print(f"{width:>6}x{height:<4} {1000 * started / pictures:6.1f}", *shares, flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
