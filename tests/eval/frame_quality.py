"""Measures the effect of encoding frames between the stages: `python -m tests.eval.frame_quality VIDEO…`.

Every frame of a 0.5 s grid is analysed as it was decoded, and again after it was encoded in each way of
FACES_FRAME_FORMAT and FACES_FRAME_QUALITY. Prints JSON: bytes and CPU time a frame, the cosine similarity of the same
face's embeddings, and how many faces were found in one of the two only.
"""

import argparse
import os
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import structlog

from facecore.analyzer import Analyzer, FrameInput
from facecore.geometry import iou
from facecore.vectors import cosine
from facecore.video import Interval, open_source
from facecore.video.images import PictureFormat, decode, encode
from schemas.cgroups import usable_cores
from schemas.observations import FrameFaces
from tests.bench.gpu import MAX_PIXELS
from tests.inputs import require, run_command, video_file

WAYS: tuple[tuple[PictureFormat, int], ...] = (
    *(("jpeg", quality) for quality in (60, 75, 85, 90, 95, 100)),
    *(("webp", quality) for quality in (75, 90, 100)),
    ("png", 0),
)
SAME_FACE = 0.7


def cosines(one: FrameFaces, other: FrameFaces) -> list[float]:
    return [
        cosine(a.embedding, b.embedding)
        for a in one.faces
        for b in other.faces
        if iou(a.box, b.box) >= SAME_FACE
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=video_file)
    parser.add_argument("--frames", type=int, default=40, help="most frames of each video")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load("open", models, device="cpu", threads=usable_cores())
    images = []
    for path in arguments.videos:
        with closing(open_source(path, Interval(0.5), max_pixels=MAX_PIXELS)) as samples:
            images += [sample.image for sample in islice(samples, arguments.frames)]
    frames = [FrameInput(i, 0.0, image, None) for i, image in enumerate(images)]
    whole = [analyzer.analyze([frame])[0] for frame in frames]
    require([face for frame in whole for face in frame.faces], "No face was found in these videos.")
    rows = []
    for form, quality in WAYS:
        started = time.process_time()
        coded = [encode(image, quality, form) for image in images]
        seconds = time.process_time() - started
        again = [
            analyzer.analyze([frame._replace(image=decode(picture))])[0]
            for frame, picture in zip(frames, coded, strict=True)
        ]
        alike = np.array([c for a, b in zip(whole, again, strict=True) for c in cosines(a, b)])
        rows.append(
            {
                "format": form,
                "quality": quality,
                "milliseconds_a_frame": round(1000 * seconds / len(images), 1),
                "kilobytes_a_frame": round(float(np.mean([len(picture) for picture in coded])) / 1000, 1),
                "faces": len(alike),
                "cosine": {f"p{p}": round(float(np.percentile(alike, p)), 4) for p in (0, 5, 50)},
                "found_in_one_only": sum(len(f.faces) for f in (*whole, *again)) - 2 * len(alike),
            }
        )
    print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    return 0


if __name__ == "__main__":
    run_command(main)
