"""Measures right and wrong matches in collections: `python -m tests.eval.collections --images DIR`.

DIR has a folder of photographs for each person. Every photograph is searched for twice in a collection of all others:
in one with its person's other photographs, and in one without this person, where whoever is found is a stranger. The
same with one enrolled photograph a person. Prints shares by threshold.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from facecore.analyzer import Analyzer, FrameInput
from facecore.gallery import Gallery
from facecore.geometry import area
from facecore.vectors import from_bytes, unit
from schemas.collections import MATCH_THRESHOLD
from tests.inputs import people_folder, require_pairs, run_command

POOL = ThreadPoolExecutor(1)
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def embeddings(images: Path, analyzer: Analyzer) -> tuple[list[str], NDArray[np.float32]]:
    """Person and unit vector of the largest face of each photograph that has one."""
    people, found = [], []
    for file in sorted(images.glob("*/*")):
        image = cv2.imread(str(file))
        if image is None:
            continue
        frame = FrameInput(0, 0.0, np.asarray(image, np.uint8), None)
        faces = analyzer.analyze([frame])[0].faces
        if not faces:
            continue
        largest = max(faces, key=lambda face: float(area(face.box)))
        people.append(file.parent.name)
        found.append(unit(from_bytes([largest.embedding])[0]))
    return people, np.array(found, np.float32)


def best(
    known: Sequence[int], people: list[str], vectors: NDArray[np.float32], probe: int
) -> tuple[str, float]:
    """Who in a collection of these photographs is most like that one."""
    gallery = Gallery(vectors.shape[1], POOL)
    gallery.add(
        [f"{i}".encode() for i in known],
        [people[i][:31].encode() for i in known],
        list(known),
        vectors[list(known)],
    )
    ((hit,),) = gallery.search(vectors[probe][None], 1, -1.0)
    return hit.person.decode(), hit.similarity


def measured(people: list[str], vectors: NDArray[np.float32]) -> dict[str, Any]:
    everyone = range(len(people))
    runs: dict[str, tuple[list[tuple[bool, float]], list[float]]] = {
        "all enrolled": ([], []),
        "one enrolled": ([], []),
    }
    for probe, person in enumerate(people):
        strangers = [i for i in everyone if people[i] != person]
        mine = [i for i in everyone if people[i] == person and i != probe]
        first = [people.index(name) for name in dict.fromkeys(people) if name != person]
        for genuine, impostor, own, others in (
            (*runs["all enrolled"], [mine] if mine else [], strangers),
            (*runs["one enrolled"], [[i] for i in mine], first),
        ):
            for enrolled in own:
                who, similarity = best([*enrolled, *others], people, vectors, probe)
                genuine.append((who == person[:31], similarity))
            impostor.append(best(others, people, vectors, probe)[1])
    return {
        "photographs": len(people),
        "people": len(set(people)),
        "default": MATCH_THRESHOLD,
        **{
            name: [
                {
                    "threshold": t,
                    "true_accepts": share([right and s >= t for right, s in genuine]),
                    "wrong_person": share([not right and s >= t for right, s in genuine]),
                    "false_accepts": share([s >= t for s in impostor]),
                    "searches": len(genuine),
                    "strangers": len(impostor),
                }
                for t in THRESHOLDS
            ]
            for name, (genuine, impostor) in runs.items()
        },
    }


def share(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4) if values else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=people_folder, required=True, metavar="DIR")
    parser.add_argument("--pack", default="open")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load(arguments.pack, models, device="cpu", threads=len(os.sched_getaffinity(0)))
    people, vectors = embeddings(arguments.images, analyzer)
    require_pairs(people, arguments.images)
    print(json.dumps(measured(people, vectors), indent=1))
    return 0


if __name__ == "__main__":
    run_command(main)
