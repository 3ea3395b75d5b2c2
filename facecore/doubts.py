"""How probable it is that a person of a job is one person, and that two of them are the same.

The evidence is that of libraries (`facecore.library.evidence`). A person who may be two is divided into the two most
different groups of detections; whether they are one is the same question as whether two people are.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facecore.library.evidence import Strength, calibration, log_odds, probability, views
from facecore.library.prototypes import prototype
from facecore.people import Person, Sighting
from facecore.vectors import from_bytes, unit

CALIBRATION = calibration("open")
"""For every model pack, like `facecore.strangers.DEFAULT_TAIL`."""

MOST_IN_MEAN, MOST_DIVIDED = 256, 512
"""Detections that a mean is made of, and that are divided, spread evenly over all of a person. More change a mean by
nothing that shows; somebody else in one or two detections of thousands may stay unnoticed."""

DIVISION_STEPS = 10
"""Most steps of the division in two; it has settled after fewer of them nearly always."""


class MeanFace(NamedTuple):
    """The mean of some detections, of length 1, and what is behind it."""

    vector: NDArray[np.float32]
    strength: Strength


def mean_face(sightings: Sequence[Sighting]) -> MeanFace:
    """Returns the mean of detections, weighted as in libraries."""
    some = _spread(sightings, MOST_IN_MEAN)
    mean = prototype(some)
    return MeanFace(
        from_bytes([mean.vector])[0],
        Strength(views(len(some), mean.spread, CALIBRATION), mean.sureness),
    )


def same_person(one: MeanFace, other: MeanFace, people: int) -> float:
    """Returns the probability that two mean faces are of one person, in a job with so many people."""
    similarity = np.array(one.vector @ other.vector, np.float64)
    odds = log_odds(similarity, one.strength, other.strength, people, CALIBRATION)
    return float(probability(odds))


def one_person(person: Person, people: int) -> float:
    """Returns the probability that all detections are of one person, in a job with so many people."""
    sightings = _spread(person.sightings, MOST_DIVIDED)
    first = _divided(unit(from_bytes([sighting.face.embedding for sighting in sightings])))
    if first.all():
        return 1.0
    one, other = (mean_face([sightings[i] for i in np.flatnonzero(part)]) for part in (first, ~first))
    return same_person(one, other, people)


def _spread(sightings: Sequence[Sighting], most: int) -> list[Sighting]:
    """Returns at most so many detections, at even distances."""
    return [*sightings[:: math.ceil(len(sightings) / most)]]


def _divided(units: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns which faces, of length 1, are in the first of two groups (spherical k-means, Dhillon & Modha 2001); all
    are when there is no difference."""
    total = units.sum(axis=0)
    one = units[(units @ total).argmin()]
    other = units[(units @ one).argmin()]
    first = units @ (one - other) >= 0
    for _ in range(DIVISION_STEPS):
        if first.all():
            break
        part = first.astype(np.float32) @ units
        before, first = first, units @ (unit(part) - unit(total - part)) >= 0
        if (first == before).all():
            break
    return np.asarray(first if first.any() else ~first, np.bool_)
