"""Measures clustering in a crowd: ``python -m tests.eval.crowd features.npz``.

The file holds ``embeddings`` (n, 512), not normalised, and ``names`` (n,): a person's name, an underscore, a number.
It is a crowd without a film: no time, no place, no frame with two faces. People are drawn at random, and so is the
order of their photographs. Half of the people, chosen by a hash of their names, were used to choose the constants of
`facecore.strangers`; the figures of the other half say what they are worth. A file of other people is judged whole:
``--half all``; ``--seed`` draws others.
"""

import argparse
import json
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facecore.clustering import Detections
from tests.eval.measures import Score, score
from tests.eval.methods import FINCH, HDBSCAN, METHODS, finch, hdbscan
from tests.inputs import features, require_pairs, run_command

THRESHOLD = 0.6
SAMPLING_INTERVAL = 2.0
SIZES = (10, 30, 50, 100, 300, 1000)
"""People who are drawn; smaller sizes than all people of the file. Then follow those with several photographs, and
all."""
DRAWS = 5
"""Random draws of people of each size."""
REACH = {"precision": 0.99, "b3_f1": 0.97, "people": 0.03}
HALVES = {"chosen on": (0,), "held out": (1,), "all": (0, 1)}


class Photographs(NamedTuple):
    """Embeddings of photographs, whose they are, and how many photographs that person has in the file."""

    embeddings: NDArray[np.float32]
    people: NDArray[np.str_]
    counts: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Photographs":
        """Returns some of the photographs."""
        return Photographs(self.embeddings[rows], self.people[rows], self.counts[rows])


class Row(NamedTuple):
    """Scores of a method over several draws of people.

    Attributes:
        worst: the least of each score, and the greatest error in the number of people.
        below: draws with a precision below `REACH`.
        reached: the means are as good as they are meant to be.
    """

    people: int
    method: str
    draws: int
    mean: Score
    worst: Score
    below: int
    reached: bool


def load(file: Path) -> Photographs:
    """Reads a file of features."""
    stored = np.load(file, allow_pickle=False)
    people = np.array([str(name).rpartition("_")[0] for name in stored["names"]])
    _, inverse, counts = np.unique(people, return_inverse=True, return_counts=True)
    return Photographs(stored["embeddings"].astype(np.float32), people, counts[inverse])


def detections(photographs: Photographs) -> Detections:
    """Returns each photograph as the only face of a frame of its own, far from all others in time."""
    n = len(photographs.people)
    return Detections(
        embeddings=photographs.embeddings,
        frames=np.arange(n) * 10,
        timestamps=np.arange(n) * 1000.0,
        boxes=np.tile(np.array([[0, 0, 100, 100]], np.float32), (n, 1)),
        quality=np.ones(n, np.float32),
        confidence=np.ones(n, np.float32),
    )


def half(photographs: Photographs, which: str) -> Photographs:
    """Returns the photographs of the people of one of `HALVES`."""
    halves = np.array([zlib.crc32(str(name).encode()) >> 7 & 1 for name in photographs.people])
    return photographs.take(np.isin(halves, HALVES[which]))


def several(photographs: Photographs) -> Photographs:
    """Returns the photographs of the people with several."""
    return photographs.take(photographs.counts > 1)


def draw(photographs: Photographs, size: int, seed: int) -> Photographs:
    """Returns the photographs of this many people, in a random order."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(photographs.people))[:size]
    return photographs.take(rng.permutation(np.flatnonzero(np.isin(photographs.people, names))))


def evaluate(photographs: Photographs, size: int, methods: list[str], seeds: Iterable[int]) -> list[Row]:
    """Returns the scores of each method over several draws of people."""
    scores: dict[str, list[Score]] = {}
    people = 0
    for seed in seeds:
        drawn = draw(photographs, size, seed)
        _, truth = np.unique(drawn.people, return_inverse=True)
        people = int(truth.max()) + 1
        every = {**METHODS, FINCH: finch(people)}
        if HDBSCAN in every:
            every[HDBSCAN] = hdbscan(may_be_one=False)
        for name, method in every.items():
            if not methods or name in methods:
                labels = method(detections(drawn), THRESHOLD, SAMPLING_INTERVAL)
                scores.setdefault(name, []).append(score(labels, truth))
    return [_row(people, name, np.array(rows)) for name, rows in scores.items()]


def _row(people: int, method: str, scores: NDArray[np.float64]) -> Row:
    mean, least = Score(*scores.mean(axis=0).tolist()), Score(*scores.min(axis=0).tolist())
    most = float(np.abs(scores[:, Score._fields.index("people")]).max())
    good = mean.precision >= REACH["precision"] and mean.b3_f1 >= REACH["b3_f1"]
    return Row(
        people,
        method,
        len(scores),
        mean,
        least._replace(people=most),
        int((scores[:, 0] < REACH["precision"]).sum()),
        good and abs(mean.people) <= REACH["people"] * people,
    )


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.crowd", description=__doc__)
    parser.add_argument("features", type=features)
    parser.add_argument("--half", choices=tuple(HALVES), default="held out")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw")
    parser.add_argument("--draws", type=int, default=DRAWS, help="random draws of people of each size")
    parser.add_argument(
        "--size", action="append", type=int, default=[], dest="sizes", help="people who are drawn"
    )
    parser.add_argument("--method", action="append", default=[], dest="methods", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    options = parser.parse_args()
    photographs = half(load(options.features), options.half)
    require_pairs(list(photographs.people), options.features)
    most, seeds = len(np.unique(photographs.people)), range(options.seed, options.seed + options.draws)
    parts = [(f"{size}", photographs, size, seeds) for size in options.sizes or SIZES if size < most]
    if not options.sizes:
        parts += [("several", several(photographs), most, seeds[:1]), ("all", photographs, most, seeds[:1])]
    if not options.json:
        print(f"{'people, method':36}{'pairs: P (least)     R    F1':>29}{'B-cubed: P   R    F1 (least)':>31}  "
              "people (most)  draws below .99  reached")  # fmt: skip
    report = []
    for name, some, size, some_seeds in parts:
        rows = evaluate(some, size, options.methods, some_seeds)
        report += rows
        if not options.json:
            print("\n".join(_line(row, name) for row in rows), flush=True)
    if options.json:
        shown = [row._replace(mean=row.mean._asdict(), worst=row.worst._asdict()) for row in report]
        print(json.dumps([row._asdict() for row in shown], indent=1))
    elif not find_spec("sklearn"):
        print(f"{HDBSCAN}: not measured; installed by: pip install '.[bench]'")


def _line(row: Row, name: str) -> str:
    mean, worst = row.mean, row.worst
    label = f"{row.people}{' (several each)' if name == 'several' else ''}, {row.method}"
    return (
        f"{label:36}{mean.precision:11.3f} ({worst.precision:.3f}) {mean.recall:.3f} {mean.f1:.3f}"
        f"{mean.b3_precision:10.3f} {mean.b3_recall:.3f} {mean.b3_f1:.3f} ({worst.b3_f1:.3f})"
        f"{mean.people:+8.1f} ({worst.people:.0f}){row.below:8} of {row.draws}{'yes' if row.reached else 'no':>10}"
    )


if __name__ == "__main__":
    run_command(main)
