"""How probable it is that two people of a library are one.

The evidence is the cosine similarity of their mean faces. Means of several faces of one person are more alike than
single ones, since what differs from picture to picture averages out (correction for attenuation, Spearman 1904): with
a mean similarity r between two faces of a person, means of n and m faces are expected to have the similarity
r / sqrt((r + (1 - r) / n) (r + (1 - r) / m)). Logistic regression on the similarity and on this expectation gives the
likelihood ratio; the number of people in the library is the prior: the more there are, the more alike is the most
similar stranger.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Calibration(NamedTuple):
    """What the evidence of a model pack is worth; ``python -m tests.eval.library --fit`` measures it.

    Attributes:
        similarity: mean cosine of two faces of one person.
        weights: of 1, s, s², e and s e in the logarithm of the likelihood ratio, where s is the similarity and e the
            expected one.
    """

    similarity: float
    weights: tuple[float, float, float, float, float]


CALIBRATIONS = {"open": Calibration(0.648, (5.433, 28.651, 26.828, -21.359, -10.308))}
"""By model pack. Fitted on photographs of 1,405 people, half of those of Labeled Faces in the Wild (Huang et al.
2007) that tests.eval.crowd can be run on."""

LEAST_SIMILARITY = 0.1
"""Lower similarities prove no more than this one, which one pair of strangers in six exceeds."""


def calibration(pack: str) -> Calibration:
    """Returns the calibration of a model pack. Stronger embedders keep strangers further apart than the open pack
    does, so its calibration errs towards too many people."""
    return CALIBRATIONS.get(pack, CALIBRATIONS["open"])


def log_odds(
    similarity: Numbers, faces: int, other_faces: Numbers, people: int, calibrated: Calibration
) -> Numbers:
    """Returns the logarithm of the odds that two people are one, for arrays that broadcast.

    Args:
        similarity: cosine of their mean faces.
        faces, other_faces: number of faces, of different films, behind each mean.
        people: in the library: the one is as probably new as it is one of them.
    """
    r = calibrated.similarity
    expected = r / np.sqrt((r + (1 - r) / faces) * (r + (1 - r) / other_faces))
    s = np.maximum(similarity, LEAST_SIMILARITY)
    one, linear, square, expectation, product = calibrated.weights
    ratio = one + linear * s + square * s * s + expectation * expected + product * s * expected
    return np.asarray(ratio - np.log(max(people, 1)), np.float64)


def probability(odds: Numbers) -> Numbers:
    """Returns the probability of the logarithm of odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -700, 700))), np.float64)
