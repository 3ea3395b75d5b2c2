"""How alike strangers look: the upper tail of the cosine similarity between faces of different people.

The more people there are, the more pairs of strangers are compared, and the more alike the most similar of them are.
From the tail follows the similarity that a merge of two clusters needs so that few merges are expected to be wrong:
control of the false discovery rate (Benjamini & Hochberg 1995), where the p-value is the chance of two strangers.
"""

import math
from collections.abc import Sequence

TAILS: dict[str, tuple[float, ...]] = {"open": (0.136, 0.251, 0.342, 0.418, 0.486, 0.548)}
"""By model pack: the cosine that one pair of strangers in 10, 100, …, 1,000,000 exceeds. Measured on photographs of
1,405 people, half of those of Labeled Faces in the Wild (Huang et al. 2007) that tests.eval.crowd can be run on; the
other half differs by 0.003 at most up to one in 100,000."""

DEFAULT_TAIL = TAILS["open"]
"""For packs without a measured tail. Stronger embedders keep strangers further apart, so this errs towards too many
people."""

WRONG_MERGES = 0.04
"""Share of the merges of a job that may be expected to join strangers. Wrong merges are of small clusters mostly: of
the pairs of faces that end up together, fewer than one in 100 is wrong (tests.eval.crowd)."""

CROWD_BUDGET = 0.5
"""Wrong merges that may be expected in any crowd, so that its first merges are not held up."""

CROWD_CLUSTERS = 400
"""With fewer clusters left, `WRONG_MERGES` and `CROWD_BUDGET` are smaller in proportion: among few people one wrong
merge joins a larger share of the faces, and many photographs of few people make many merges, but no strangers less
alike."""

MIN_BUDGET = 0.07
"""Wrong merges that may be expected in any job. With less, a film with a dozen people, sampled every 2 s, has one too
many; with more, there are wrong merges among ten people."""

FEW_CLUSTERS = 6
"""So few clusters are judged by the caller's threshold alone."""


def crowd_threshold(tail: Sequence[float], clusters: int, merges: int) -> float:
    """Returns the similarity from which two clusters may be merged while this many are left and were merged.

    Args:
        tail: the cosine that one pair of strangers in 10, 100, … exceeds.
    """
    pairs = clusters * (clusters - 1) / 2
    crowd = min(1, clusters / CROWD_CLUSTERS)
    budget = max(MIN_BUDGET, crowd * max(CROWD_BUDGET, WRONG_MERGES * merges))
    if clusters <= FEW_CLUSTERS or pairs <= 10 * budget:
        return -1.0  # more than one pair in ten may be wrong: the tail does not reach that far
    decades = math.log10(pairs / budget)
    step = min(int(decades), len(tail) - 1)  # linear between two entries, and beyond the last one
    return tail[step - 1] + (decades - step) * (tail[step] - tail[step - 1])
