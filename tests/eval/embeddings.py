"""Measures what the mean of photographs does for verification: `python -m tests.eval.embeddings features.npz`.

The file holds `embeddings` (n, 512), not normalised, their `names` (`Person_Name_0001`) and the detector's
`confidence`, as that of tests.eval.crowd. Half of the people count, chosen by the seed. Of everybody with enough
photographs, some stand for the detections of a film and another one is looked for: by the best of them, and by their
mean weighted by length, as in `facecore.library.prototypes`. Everybody else's first photograph is a stranger. Prints
the share that is found at one false match in 1,000 and in 10,000, the mean of five draws.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facecore.vectors import lengths, unit
from tests.inputs import features, require_pairs, run_command

PHOTOGRAPHS = (2, 3, 5, 8)
FALSE_MATCHES = (1e-3, 1e-4)
DRAWS = 5

Vectors = NDArray[np.float64]


def best_of(vectors: Vectors) -> Vectors:
    """The one that the embedder is surest of; the file does not hold the quality of a face."""
    return vectors[lengths(vectors).argmax()]


def mean_of(vectors: Vectors) -> Vectors:
    return np.asarray(vectors.mean(axis=0), np.float64)


def found(
    photographs: dict[str, Vectors], count: int, one: Callable[[Vectors], Vectors], seed: int
) -> list[float]:
    """The share of people who are found, at each rate of false matches."""
    order = np.random.default_rng(seed)
    strangers = unit(np.array([vectors[0] for vectors in photographs.values()]))
    known, sought, own = [], [], []
    for number, vectors in enumerate(photographs.values()):
        if len(vectors) > count:
            picked = vectors[order.permutation(len(vectors))[: count + 1]]
            known.append(one(picked[:count]))
            sought.append(picked[count])
            own.append(number)
    similar = unit(np.array(known)) @ strangers.T
    similar[np.arange(len(own)), own] = -1.0
    same = (unit(np.array(known)) * unit(np.array(sought))).sum(axis=1)
    return [float(np.mean(same > np.quantile(similar, 1 - rate))) for rate in FALSE_MATCHES]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=features)
    parser.add_argument("--seed", type=int, default=0, help="of the division of the people into halves")
    options = parser.parse_args()
    content = np.load(options.file)
    embeddings = content["embeddings"].astype(np.float64)
    of = np.array([name.rpartition("_")[0] for name in content["names"]])
    people = np.unique(of)
    half = np.random.default_rng(options.seed).permutation(people)[: len(people) // 2]
    photographs = {name: embeddings[of == name] for name in sorted(half)}
    require_pairs([name for name, some in photographs.items() for _ in some], options.file)
    for count in PHOTOGRAPHS:
        for kind, one in (("the best", best_of), ("the mean", mean_of)):
            shares = np.mean([found(photographs, count, one, seed) for seed in range(DRAWS)], axis=0)
            at = ", ".join(
                f"{share:.3f} at {rate:g}" for share, rate in zip(shares, FALSE_MATCHES, strict=True)
            )
            print(f"{kind} of {count} photographs: {at}")


if __name__ == "__main__":
    run_command(main)
