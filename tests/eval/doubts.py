"""Measures the probabilities that a person is one, and the same as the nearest: ``python -m tests.eval.doubts FILE``.

FILE and the halves of its people are those of `tests.eval.crowd`. The evidence was fitted to the half "chosen on".
People are drawn and clustered as there. Prints, by probability, how many there are, their mean probability and the
share that is right (a reliability diagram, DeGroot & Fienberg 1983), and the expected calibration error.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from facecore.clustering import cluster
from facecore.people import People, Person, Sighting
from facecore.result_builder import describe
from schemas.metadata import Rejected
from schemas.results import Face
from tests.eval.crowd import HALVES, SAMPLING_INTERVAL, THRESHOLD, Photographs, detections, draw, half, load
from tests.eval.library import BINS, calibration_error
from tests.facecore.faces import face, frame
from tests.inputs import Unusable, features, run_command

SIZES, DRAWS = (10, 30, 100, 300), 6
Judged = list[tuple[float, bool]]
"""Probabilities, and whether each was right to be 1."""


def judged(drawn: Photographs) -> tuple[Judged, Judged]:
    """Returns the probabilities of the people who are found among photographs: that a person with several is one, and
    that a person and the nearest one are the same."""
    labels = cluster(detections(drawn), THRESHOLD, sampling_interval=SAMPLING_INTERVAL)
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    frames = [frame(i, [face(vector)]) for i, vector in enumerate(drawn.embeddings)]
    persons = []
    for some in rows:
        seen = [Sighting(0, frames[i], frames[i].faces[0]) for i in some]
        persons.append(Person(seen, seen[0]))
    faces = describe(People(persons, Rejected(), 0.0), None, frames=len(frames))
    return judged_faces(faces, [drawn.people[some].tolist() for some in rows])


def judged_faces(faces: Sequence[Face], names: Sequence[Sequence[str]]) -> tuple[Judged, Judged]:
    """Returns the probabilities of the people of a result, as `judged` does.

    Args:
        names: who the detections of each of them show; those of whom nobody knows may be missing.
    """
    most = [max(sorted(set(some)), key=some.count) if some else None for some in names]
    one = [(f.one_person or 0.0, len(set(n)) == 1) for f, n in zip(faces, names, strict=True) if len(n) > 1]
    of = {face.face_id: name for face, name in zip(faces, most, strict=True)}
    same = [
        (face.nearest.probability or 0.0, of[face.nearest.face_id] == name)
        for face, name in zip(faces, most, strict=True)
        if name and face.nearest and of[face.nearest.face_id]
    ]
    return one, same


def table(title: str, values: Sequence[tuple[float, bool]]) -> str:
    """Returns the reliability diagram for people."""
    found = np.array(values, float).reshape(-1, 2)
    bins = np.minimum((found[:, 0] * BINS).astype(int), BINS - 1)
    lines = [f"{title}: {len(found)}, calibration error {calibration_error(values):.3f}"]
    for number in np.unique(bins):
        p, right = found[bins == number].T
        lines.append(
            f"  {number / BINS:.1f}  {len(p):5}  probability {p.mean():.3f}  right {right.mean():.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.doubts", description=__doc__)
    parser.add_argument("features", type=features)
    parser.add_argument("--half", choices=tuple(HALVES), default="held out")
    options = parser.parse_args()
    photographs = half(load(options.features), options.half)
    if (people := len(np.unique(photographs.people))) < max(SIZES):
        raise Unusable(f"{options.features} has {people} people in this half; {max(SIZES)} are drawn.")
    both = [judged(draw(photographs, size, seed)) for size in SIZES for seed in range(DRAWS)]
    print(table("one person", [value for one, _ in both for value in one]))
    print(table("the nearest is the same", [value for _, same in both for value in same]))


if __name__ == "__main__":
    run_command(main)
