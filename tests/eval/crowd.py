"""Measures clustering in a crowd: ``python -m tests.eval.crowd features.npz``.

The file holds ``embeddings`` (n, 512), not normalised, and ``names`` (n,): a person's name, an underscore, a number.
It is a crowd without a film: no time, no place, no frame with two faces. People are drawn at random, and so is the
order of their photographs. Half of the people, chosen by a hash of their names, were used to choose the constants of
`facecore.strangers`; the figures of the other half say what they are worth.
"""

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facecore.clustering import Detections
from facecore.vectors import unit
from tests.eval.measures import Score, score
from tests.eval.methods import METHODS, Method

THRESHOLD = 0.6
SAMPLING_INTERVAL = 2.0
SIZES = (10, 30, 50, 100, 300, 826, 1000, 2848)
DRAWS = 5
"""Random draws of people of each size; the figures are their means."""
REACH = {"precision": 0.99, "b3_f1": 0.97, "people": 0.03}
IMMICH_SIMILARITY, IMMICH_FACES = 0.5, 3
"""Defaults of immich 2 (server/src/config.ts): greatest cosine distance 0.5, at least 3 faces for a person."""
HALVES = {"chosen on": (0,), "held out": (1,), "all": (0, 1)}


class Photographs(NamedTuple):
    """Embeddings of photographs, whose they are, and how many photographs that person has in the file."""

    embeddings: NDArray[np.float32]
    people: NDArray[np.str_]
    counts: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Photographs":
        """Returns some of the photographs."""
        return Photographs(self.embeddings[rows], self.people[rows], self.counts[rows])


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


def immich(found: Detections, _: float, __: float) -> NDArray[np.int64]:
    """Clusters as immich does: DBSCAN (Ester et al. 1996) with faces that come one after the other. A face joins the
    person of its most similar face, founds a person when enough are similar, else it is left without one."""
    units = unit(found.embeddings)
    labels = np.full(len(units), -1)
    for _attempt in range(2):  # faces without a person are tried once more when all are known
        for i in np.flatnonzero(labels < 0):
            cosines = units @ units[i]
            similar = np.flatnonzero(cosines >= IMMICH_SIMILARITY)
            settled = similar[labels[similar] >= 0]
            if len(settled):
                labels[i] = labels[settled[cosines[settled].argmax()]]
            elif len(similar) >= IMMICH_FACES:
                labels[i] = labels.max() + 1
    alone = np.flatnonzero(labels < 0)
    labels[alone] = labels.max() + 1 + np.arange(len(alone))
    return labels


def finch(people: int) -> Method:
    """Clusters by first neighbours (FINCH, Sarfraz et al., CVPR 2019); of its levels the one whose number of clusters
    is closest to the true number of people, which no other method is given."""

    def run(found: Detections, _: float, __: float) -> NDArray[np.int64]:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        units = unit(found.embeddings)
        labels = best = np.arange(len(units))
        while True:
            means = np.zeros((labels.max() + 1, units.shape[1]), np.float32)
            np.add.at(means, labels, units)
            cosines = unit(means) @ unit(means).T
            np.fill_diagonal(cosines, -np.inf)
            first = cosines.argmax(axis=1)
            rows = np.arange(len(first))
            graph = csr_array((np.ones(len(first)), (rows, first)), shape=(len(first), len(first)))
            count, merged = connected_components(graph, directed=False)
            if count == len(first) or count < 2:
                return best
            labels = merged[labels].astype(np.int64)
            if abs(count - people) < abs(int(best.max()) + 1 - people):
                best = labels

    return run


def half(photographs: Photographs, which: str) -> Photographs:
    """Returns the photographs of the people of one of `HALVES`."""
    halves = np.array([zlib.crc32(str(name).encode()) >> 7 & 1 for name in photographs.people])
    return photographs.take(np.isin(halves, HALVES[which]))


def draw(photographs: Photographs, size: int, seed: int) -> Photographs:
    """Returns the photographs of this many people, in a random order; 826 stands for people with several."""
    rng = np.random.default_rng(seed)
    chosen = photographs.counts > 1 if size == 826 else np.ones(len(photographs.people), bool)
    names = rng.permutation(np.unique(photographs.people[chosen]))[:size]
    return photographs.take(rng.permutation(np.flatnonzero(np.isin(photographs.people, names))))


def evaluate(photographs: Photographs, size: int, methods: list[str], draws: int) -> dict[str, Any]:
    """Returns the mean scores of each method over several draws of people."""
    scores: dict[str, list[Score]] = {}
    people = 0
    for seed in range(draws):
        drawn = draw(photographs, size, seed)
        _, truth = np.unique(drawn.people, return_inverse=True)
        people = int(truth.max()) + 1
        every: dict[str, Callable[..., Any]] = {**METHODS, "immich": immich, "FINCH": finch(people)}
        for name in methods or list(every):
            labels = every[name](detections(drawn), THRESHOLD, SAMPLING_INTERVAL)
            scores.setdefault(name, []).append(score(labels, truth))
    means = {
        name: {field: float(np.mean([getattr(one, field) for one in rows])) for field in Score._fields}
        for name, rows in scores.items()
    }
    return {"people": people, "methods": means}


def reached(people: int, mean: dict[str, float]) -> bool:
    """Tells whether the scores are as good as they are meant to be."""
    few = mean["precision"] < REACH["precision"] or mean["b3_f1"] < REACH["b3_f1"]
    return not few and abs(mean["people"]) <= REACH["people"] * people


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.crowd", description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--half", choices=tuple(HALVES), default="held out")
    parser.add_argument("--method", action="append", default=[], dest="methods", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    options = parser.parse_args()
    photographs = half(load(options.features), options.half)
    most = len(np.unique(photographs.people))
    report = {}
    for size in sorted({min(size, most) for size in SIZES}):
        report[size] = evaluate(photographs, size, options.methods, 1 if size >= most else DRAWS)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{'people, method':34}{'pairs: P     R    F1':>22}{'B-cubed: P   R    F1':>24}  people  reached")
    for size, row in report.items():
        for name, mean in row["methods"].items():
            pairs = "  ".join(f"{mean[field]:.3f}" for field in ("precision", "recall", "f1"))
            faces = "  ".join(f"{mean[field]:.3f}" for field in ("b3_precision", "b3_recall", "b3_f1"))
            label = f"{row['people']}{' (several each)' if size == 826 else ''}, {name}"
            good = "yes" if reached(row["people"], mean) else "no"
            print(f"{label:34}{pairs:>22}{faces:>24}  {mean['people']:+7.1f}  {good}")


if __name__ == "__main__":
    main()
