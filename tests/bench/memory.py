"""Memory of the analyzer over many frames of changing size and with 0 to 40 faces.

    python -m tests.bench.memory [--frames 2000]

The frames are put together from the faces of the photograph that the insightface package ships. Prints JSON: resident
megabytes after every tenth of the frames; flat after the first means that nothing grows with the work.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import insightface
import msgspec
import numpy as np
import structlog

from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from schemas.cores import usable_cores

BATCH = 8
CELL = 96
SIZES = ((360, 640), (480, 854), (576, 720), (720, 1280), (1080, 1920))


def faces_of(analyzer: Analyzer) -> list[Image]:
    file = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    picture = np.asarray(cv2.imread(str(file)), np.uint8)
    (found,) = analyzer.analyze([FrameInput(0, 0.0, picture, None, False)])
    crops = []
    for face in found.faces:
        x1, y1, x2, y2 = (round(value) for value in face.box)
        wide = (x2 - x1) // 3
        crop = picture[max(0, y1 - wide) : y2 + wide, max(0, x1 - wide) : x2 + wide]
        crops.append(np.asarray(cv2.resize(crop, (CELL, CELL)), np.uint8))
    return crops


def frame(faces: list[Image], rng: np.random.Generator) -> Image:
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    image = np.full((height, width, 3), int(rng.integers(40, 200)), np.uint8)
    cells = [(y, x) for y in range(0, height - CELL, CELL) for x in range(0, width - CELL, CELL)]
    for y, x in rng.permutation(cells)[: int(rng.integers(0, 41))]:
        image[y : y + CELL, x : x + CELL] = faces[int(rng.integers(len(faces)))]
    return image


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=2000)
    told = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load("open", models, device="cpu", threads=usable_cores())
    faces, rng = faces_of(analyzer), np.random.default_rng(1)
    seen, memory, began = 0, [], time.perf_counter()
    for number in range(0, told.frames, BATCH):
        batch = [FrameInput(i, 0.0, frame(faces, rng), None, True) for i in range(BATCH)]
        seen += sum(len(found.faces) for found in analyzer.analyze(batch))
        if number // BATCH % max(1, told.frames // BATCH // 10) == 0:
            memory.append(resident_megabytes())
    found = {"frames": told.frames, "faces": seen, "seconds": round(time.perf_counter() - began, 1)}
    print(msgspec.json.format(msgspec.json.encode({**found, "resident_mb": memory})).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
