"""How probable it is that a person is one person, and that two are the same."""

from pathlib import Path

import numpy as np

from facecore.doubts import mean_face, one_person, same_person
from facecore.people import Person, Sighting
from tests.eval.crowd import draw, half, load
from tests.eval.doubts import judged
from tests.eval.library import calibration_error
from tests.facecore.faces import face, frame, person


def seen(*vectors: np.ndarray) -> Person:
    frames = [frame(i, [face(vector)]) for i, vector in enumerate(vectors)]
    sightings = [Sighting(0, one, one.faces[0]) for one in frames]
    return Person(sightings, sightings[0])


def test_two_people_in_one_are_doubtful_and_one_person_is_not() -> None:
    views = [person(0, 0.4, seed) for seed in range(6)]
    assert one_person(seen(*views), 5) > 0.99
    assert one_person(seen(*views, person(1), person(1, 0.4)), 5) < 0.01
    assert one_person(seen(views[0]), 5) == one_person(seen(*[views[0]] * 3), 5) == 1.0


def test_parts_of_one_person_are_probably_the_same_and_strangers_are_not() -> None:
    one, same, other = (
        mean_face(seen(*[person(n, 0.4, seed) for seed in seeds]).sightings)
        for n, seeds in ((0, range(3)), (0, range(3, 6)), (1, range(3)))
    )
    assert same_person(one, same, 5) > 0.99 > 0.01 > same_person(one, other, 5)


def test_probabilities_are_shares_of_people_who_were_not_used_to_fit_them(shared_data: Path) -> None:
    photographs = half(load(shared_data / "lfw" / "features.npz"), "held out")
    both = [judged(draw(photographs, 100, seed)) for seed in range(3)]
    assert calibration_error([value for one, _ in both for value in one]) <= 0.05
    assert calibration_error([value for _, same in both for value in same]) <= 0.05
