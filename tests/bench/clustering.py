"""How long clustering takes, and what memory: `python -m tests.bench.clustering --faces 100000 --people 300`.

Faces of people who come and go: each shot shows some of them for a while, in places of their own, and two views of a
person have a cosine of 0.5. Prints JSON.
"""

import argparse
import json
import resource
import sys
import time
from typing import Any

import numpy as np

from facecore.clustering import Detections, cluster
from tests.eval.measures import score

SHOT, SEATS, VIEWS = 20, 3, 0.5
"""Samples of a shot, people in it, cosine of two views of a person."""


def film(faces: int, people: int) -> tuple[Detections, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    frames, seats = np.divmod(np.arange(faces), SEATS)
    shots = frames // SHOT
    cast = np.array([generator.choice(people, SEATS, replace=False) for _ in range(int(shots.max()) + 1)])
    who = cast[shots, seats]
    persons = generator.standard_normal((people, 512), np.float32)
    persons /= np.linalg.norm(persons, axis=1, keepdims=True)
    noise = generator.standard_normal((faces, 512), np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    embeddings = (np.sqrt(VIEWS) * persons[who] + np.sqrt(1 - VIEWS) * noise) * generator.uniform(
        1.5, 4, (faces, 1)
    )
    corner = np.stack([seats * 300.0, np.full(faces, 50.0)], axis=1)
    detections = Detections(
        embeddings=embeddings.astype(np.float32),
        frames=frames.astype(np.int64),
        timestamps=frames * 0.5,
        boxes=np.hstack((corner, corner + 120.0)).astype(np.float32),
        quality=np.full(faces, 0.7, np.float32),
        confidence=np.full(faces, 0.9, np.float32),
    )
    return detections, who


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=300)
    told = parser.parse_args()
    detections, who = film(told.faces, told.people)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, used = time.perf_counter(), time.process_time()
    labels = cluster(detections, sampling_interval=0.5)
    found = {
        "faces": told.faces,
        "people": told.people,
        "wall_seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "megabytes_more": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024),
        "megabytes_of_embeddings": round(detections.embeddings.nbytes / 2**20),
        "people_found": len(set(labels.tolist())),
        "b3_f1": round(score(labels, who).b3_f1, 4),
    }
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
