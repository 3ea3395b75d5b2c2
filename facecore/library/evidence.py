"""How probable it is that two people of a library are one.

The evidence is the cosine similarity of their mean faces, beside the one that is expected of one person. An embedding
is the person and noise, whose energy is about the same in every picture: of a squared length u², the share
r = 1 - noise / u² is the person. In the mean of n pictures it is r / (r + (1 - r) / n), and two faces of a person are
expected to have the geometric mean of their shares as similarity (correction for attenuation, Spearman 1904). So a
dark, blurred or small face need not be as like its person as a sharp one. Logistic regression on the similarity and
on this expectation gives the likelihood ratio; the number of people in the library is the prior: the more there are,
the more alike is the most similar stranger. Faces of which the embedder is unsure also resemble each other for that
reason, so the similarity of two such faces counts less.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Calibration(NamedTuple):
    """What the evidence of a model pack is worth; ``python -m tests.eval.library --fit`` measures it.

    Attributes:
        similarity: mean cosine of two faces of one person.
        noise: energy of what differs from picture to picture, in the squared length of an embedding; 0: not known,
            every face is taken for an average one.
        weights: of 1, s, s², e and s e in the logarithm of the likelihood ratio, where s is the similarity and e the
            expected one.
        certain: length of the embedding from which on the embedder is sure of a face.
    """

    similarity: float
    noise: float
    weights: tuple[float, float, float, float, float]
    certain: float

    @property
    def average(self) -> float:
        """Length of the embedding of an average face."""
        return math.sqrt(self.noise / (1 - self.similarity)) or self.certain


CALIBRATIONS = {"open": Calibration(0.648, 4.2, (14.388, 7.663, 38.949, -39.411, 22.258), 2.86)}
"""By model pack. Fitted on photographs of 1,405 people, half of those of Labeled Faces in the Wild (Huang et al.
2007) that tests.eval.crowd can be run on. In 95 % of them the embedding is longer than `certain`."""

SHARES = 0.45, 0.98
"""Least and greatest share of the person in an embedding. Photographs with less than the least are too few to learn
from; their faces are taken to be as good as that."""
LEAST_SIMILARITY = 0.1
"""Lower similarities prove no more than this one, which one pair of strangers in six exceeds."""

WEAK_DISCOUNT = 1.25
"""Subtracted from the cosine of two faces with embeddings of length 0. Unlike in a film (facecore.agglomeration), no
time and place speak for two weak faces here: of dark spectators in one theatre, two have a cosine of 0.87."""


def calibration(pack: str) -> Calibration:
    """Returns the calibration of a model pack. Stronger embedders keep strangers further apart than the open pack
    does, so its calibration errs towards too many people; the lengths of their embeddings are others."""
    return CALIBRATIONS.get(pack) or CALIBRATIONS["open"]._replace(noise=0.0)


class Strength(NamedTuple):
    """What is behind a mean face, or several: as how many pictures it counts, and how sure the embedder was."""

    views: float | Numbers
    sureness: float | Numbers


def views(detections: int, spread: float, calibrated: Calibration) -> float:
    """Returns as how many independent pictures the mean of some detections counts.

    Detections of one scene have much in common that does not average out: only the part of the variation between
    pictures of a person that is seen among them does.

    Args:
        spread: 1 minus the mean cosine of the detections to their mean.
    """
    if detections < 2:
        return 1.0
    among = (1 - (1 - spread) ** 2) * detections / (detections - 1)
    whole = 1 - calibrated.similarity
    left = max(whole - among * (1 - 1 / detections), whole / detections)
    return whole / left


def expected(mine: Strength, others: Strength, calibrated: Calibration) -> Numbers:
    """Returns the similarity that two mean faces of one person are expected to have, for arrays that broadcast."""
    one, other = (_share(strength, calibrated) for strength in (mine, others))
    return np.asarray(np.sqrt(one * other), np.float64)


def _share(strength: Strength, calibrated: Calibration) -> Numbers:
    """Returns the share of the person in a mean face."""
    r = np.asarray(calibrated.similarity)
    if calibrated.noise:
        r = np.clip(1 - calibrated.noise / np.maximum(strength.sureness, 1e-6) ** 2, *SHARES)
    return np.asarray(r / (r + (1 - r) / strength.views), np.float64)


def log_odds(
    similarity: Numbers, mine: Strength, others: Strength, people: int, calibrated: Calibration
) -> Numbers:
    """Returns the logarithm of the odds that two people are one, for arrays that broadcast.

    Args:
        similarity: cosine of their mean faces.
        mine, others: what is behind the means.
        people: in the library: the one is as probably new as it is one of them.
    """
    e = expected(mine, others, calibrated)
    weak = [np.clip(1 - np.asarray(one.sureness) / calibrated.certain, 0, 1) for one in (mine, others)]
    s = np.maximum(similarity - WEAK_DISCOUNT * weak[0] * weak[1], LEAST_SIMILARITY)
    one, linear, square, expectation, product = calibrated.weights
    ratio = one + linear * s + square * s * s + expectation * e + product * s * e
    return np.asarray(ratio - np.log(max(people, 1)), np.float64)


def probability(odds: Numbers) -> Numbers:
    """Returns the probability of the logarithm of odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -700, 700))), np.float64)
