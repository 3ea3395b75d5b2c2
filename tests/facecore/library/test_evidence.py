"""What a library keeps of a face, and how much two mean faces prove."""

import numpy as np

from facecore.library.evidence import CALIBRATIONS, Strength, log_odds, probability, views
from facecore.library.prototypes import library_faces
from facecore.library.resolve import DEFAULTS
from facecore.people import gather
from facecore.result_builder import describe
from facecore.strangers import DEFAULT_TAIL
from facecore.vectors import from_bytes
from tests.facecore.faces import face, frame, person

OPEN = CALIBRATIONS["open"]


def sure(similarity: float, one: float, other: float, people: int, sureness: float = 3.5) -> float:
    odds = log_odds(np.array([similarity]), Strength(one, sureness), Strength(other, sureness), people, OPEN)
    return float(probability(odds)[0])


def test_evidence_grows_with_similarity_and_a_crowd_raises_the_bar() -> None:
    by_similarity = [sure(s, 1, 1, 100) for s in np.arange(0.1, 0.9, 0.05)]
    assert by_similarity == sorted(by_similarity)
    assert sure(0.45, 1, 1, 1) > DEFAULTS.join > sure(0.45, 1, 1, 10_000)
    assert sure(0.5, 4, 4, 100) < sure(0.5, 1, 1, 100)  # means of several faces of a person are more alike
    weak, clear = (sure(0.7, 1, 1, 10, sureness=length) for length in (1.3, 2.5))
    assert weak < DEFAULTS.join < clear  # the dark look alike
    assert sure(0.4, 1, 1, 10, sureness=2.9) > sure(
        0.4, 1, 1, 10, sureness=4.0
    )  # the sharp are surer not to be one


def test_detections_of_one_scene_count_as_little_more_than_one_picture() -> None:
    independent = 1 - np.sqrt(OPEN.similarity + (1 - OPEN.similarity) / 3)
    assert abs(views(3, float(independent), OPEN) - 3) < 1e-6
    assert views(1, 0.0, OPEN) == 1
    assert 1 < views(20, 0.03, OPEN) < 1.3
    assert views(20, 0.9, OPEN) == 20


def test_joining_takes_the_similarity_that_few_strangers_reach_by_chance_among_so_many_people() -> None:
    for people, tail in zip(
        (1, 10, 100, 1000), DEFAULT_TAIL[2:], strict=True
    ):  # one stranger in 1,000 reaches it
        joins_from = next(s for s in np.arange(0.2, 1.0, 0.005) if sure(s, 1, 1, people) >= DEFAULTS.join)
        assert tail - 0.02 < joins_from < tail + 0.09


def test_a_person_of_a_film_becomes_a_mean_of_what_is_clear_and_the_unidentifiable_stay_out() -> None:
    clear, blurred = person(0), person(1) / 10
    seen = [face(clear, quality=0.9), face(person(5), x=500, identifiable=False)]
    frames = [frame(0, seen), *(frame(i, [face(clear)]) for i in (1, 2)), frame(3, [face(clear + blurred)])]
    people = gather(
        frames, threshold=0.6, deduplicate=True, sampling_interval=1.0, min_quality=0.0, max_faces=9,
        include_unidentifiable=True,
    )  # fmt: skip
    faces = describe(people, None, frames=4)
    (kept,) = library_faces(people, "job", faces)
    vector = from_bytes([kept.prototype])[0]
    assert abs(np.linalg.norm(vector) - 1) < 1e-6
    assert vector[0] > 0.999 > 1 - vector[1]
    assert (kept.face_id, kept.detections, kept.appearances) == ("job/face_0", 4, tuple(faces[0].appearances))
    (still,) = library_faces(people, "job", faces, stills=True)
    assert (still.pictures, still.appearances) == ((1, 2, 3, 4), ()), "a picture has no time"
    assert 2.9 < kept.sureness < 3.1
    assert 0 < kept.spread < 0.01
