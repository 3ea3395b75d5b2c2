"""Measures clustering of 1,000 to 100,000 faces, beside the specification's greedy pass.

    python -m tests.bench.clustering [--most 100000] [--people 30]

The faces are random: each person has a direction in 512 dimensions, each face strays from it as in real footage (same
person at a cosine around 0.65, some weak and further), people come and go over time, two in three frames. Processor
seconds and the largest memory that the call took, each size in a process of its own; `growth` is the exponent between
neighbouring sizes: 1 is linear.
"""

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from facecore.clustering import Detections, cluster
from tests.bench.measure import machine, quiet, report, status

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
STRAY = 0.75
"""Length of what a face has beside its person's direction, so that two of one person meet at 1 / (1 + STRAY²)."""
GREEDY_MAX_FACES = 10_000
DIMENSIONS = 512


def drawn(faces: int, people: int) -> Detections:
    """Returns random faces in order of time, one or two a frame."""
    rng = np.random.default_rng(faces)
    centres = rng.normal(size=(people, DIMENSIONS)) / math.sqrt(DIMENSIONS)
    frames = np.sort(rng.integers(0, int(faces / 1.5) + 1, faces))
    scene = frames // 40
    cast_of_scene = rng.integers(0, people, (int(scene.max()) + 1, 3))
    who = cast_of_scene[scene, rng.integers(0, 3, faces)]
    stray = rng.normal(size=(faces, DIMENSIONS)) / math.sqrt(DIMENSIONS)
    stray *= STRAY * np.where(rng.random(faces) < 0.1, 2.0, 1.0)[:, None]
    units = centres[who] + stray
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    lengths = rng.uniform(1.5, 4.0, faces)
    corners = rng.uniform(0, 900, (faces, 2))
    return Detections(
        embeddings=(units * lengths[:, None]).astype(np.float32),
        frames=frames.astype(np.int64),
        timestamps=frames * 2.0,
        boxes=np.hstack([corners, corners + 120]).astype(np.float32),
        quality=rng.uniform(0.3, 0.9, faces).astype(np.float32),
        confidence=rng.uniform(0.5, 1.0, faces).astype(np.float32),
    )


def greedy(detections: Detections, threshold: float) -> int:
    """Clusters as the specification does: compares each face with the best one of every person so far."""
    units = detections.embeddings / np.linalg.norm(detections.embeddings, axis=1, keepdims=True)
    shown = np.empty_like(units)
    best, count = np.empty(len(units)), 0
    for unit, quality in zip(units, detections.quality, strict=True):
        likeness = shown[:count] @ unit
        nearest = int(likeness.argmax()) if count else -1
        if nearest < 0 or likeness[nearest] < threshold:
            nearest, count = count, count + 1
            best[nearest] = -1
        if quality > best[nearest]:
            shown[nearest], best[nearest] = unit, quality
    return count


def one(faces: int, people: int) -> dict[str, Any]:
    detections = drawn(faces, people)
    cluster(detections.take(np.arange(200)), 0.6, sampling_interval=2.0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
    before = status(os.getpid(), "VmRSS")
    began, used = time.perf_counter(), time.process_time()
    labels = cluster(detections, 0.6, sampling_interval=2.0)
    cpu, wall = time.process_time() - used, time.perf_counter() - began
    more = status(os.getpid(), "VmHWM") - before
    row: dict[str, Any] = {
        "faces": faces,
        "processor_seconds": round(cpu, 2),
        "seconds": round(wall, 2),
        "more_megabytes": round(more / 1000),
        "groups": int(labels.max()) + 1,
    }
    if faces <= GREEDY_MAX_FACES:
        used = time.process_time()
        row["greedy_groups"] = greedy(detections, 0.6)
        row["greedy_processor_seconds"] = round(time.process_time() - used, 2)
    return row


def measure(most: int, people: int) -> dict[str, Any]:
    rows = []
    for faces in (size for size in SIZES if size <= most):
        with ProcessPoolExecutor(1) as alone:  # so that each has its own peak of memory
            rows.append(alone.submit(one, faces, people).result())
    growth = [
        round(
            math.log(b["processor_seconds"] / max(a["processor_seconds"], 0.01))
            / math.log(b["faces"] / a["faces"]),
            2,
        )
        for a, b in pairwise(rows)
    ]
    return {"people": people, "sizes": rows, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=30)
    given = parser.parse_args()
    quiet()
    where = machine()
    report(measure(given.most, given.people), where)


if __name__ == "__main__":
    main()
