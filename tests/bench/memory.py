"""Measures the analyzer's memory over many frames of changing size with 0 to 40 faces, most with few.

    python -m tests.bench.memory [--frames 2000]

The frames are put together from the faces of the photograph that the insightface package ships. Prints JSON: resident
megabytes after every tenth of the frames. A flat line means that there is no leak.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import structlog

from facecore.analyzer import Analyzer, FrameInput
from schemas.cgroups import usable_cores
from tests.bench.measure import report
from tests.eval.collages import MOST, crowd, faces_of

BATCH = 8
CROWD_SHARE = 0.15
"""Share of the frames with any number of faces; the others have 4 at most."""


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=2000)
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load("open", models, device="cpu", threads=usable_cores())
    faces, rng = faces_of(analyzer), np.random.default_rng(1)
    seen, memory, began = 0, [], time.perf_counter()
    for number in range(0, arguments.frames, BATCH):
        counts = (int(rng.integers(0, MOST + 1 if rng.random() < CROWD_SHARE else 5)) for _ in range(BATCH))
        batch = [FrameInput(i, 0.0, crowd(faces, n, rng), None) for i, n in enumerate(counts)]
        seen += sum(len(found.faces) for found in analyzer.analyze(batch))
        if number // BATCH % max(1, arguments.frames // BATCH // 10) == 0:
            memory.append(resident_megabytes())
    found = {"frames": arguments.frames, "faces": seen, "seconds": round(time.perf_counter() - began, 1)}
    report({**found, "resident_mb": memory})
    return 0


if __name__ == "__main__":
    sys.exit(main())
