"""The people of a job: order, best shots, reported values, and what was left out."""

import math
import random
from typing import Any

import msgspec
import pytest

from facecore.attributes import FaceAttributes, of_person
from facecore.people import People, gather
from facecore.result_builder import describe as describe_people
from schemas.divisions import Division, Spot
from schemas.observations import FrameFaces
from schemas.results import Demographics, Face, Match
from tests.facecore.faces import face, frame, person


def people_in(frames: list[FrameFaces], **parameters: Any):  # type: ignore[no-untyped-def]
    defaults = {
        "threshold": 0.6, "deduplicate": True, "sampling_interval": 1.0, "min_quality": 0.0, "max_faces": 50,
    }  # fmt: skip
    return gather(frames, **{**defaults, **parameters})


def describe(people: People) -> list[Face]:
    return describe_people(people, None, frames=6)


def two_people() -> list[FrameFaces]:
    """Person 0 in every frame, person 1 in every other one."""
    return [
        frame(i, [face(person(0, 0.2, i), x=100), *([face(person(1, 0.2, i), x=600)] if i % 2 else [])])
        for i in range(6)
    ]


def test_the_most_present_person_comes_first() -> None:
    people = people_in(two_people())
    assert [len(p.sightings) for p in people.persons] == [6, 3]
    faces = describe(people)
    assert [f.face_id for f in faces] == ["face_0", "face_1"]
    assert [d.timestamp for d in faces[1].detections] == [1.0, 3.0, 5.0]


def test_detections_that_a_person_divides_are_one_person_and_no_other() -> None:
    spots = tuple(Spot(timestamp=time, x=160.0, y=175.0) for time in (1.0, 4.0, 99.0))
    people = people_in(two_people(), divisions=[Division(division_id="7-0", spots=spots)])
    assert [(len(p.sightings), p.division) for p in people.persons] == [(4, ""), (3, ""), (2, "7-0")]
    assert [s.frame.timestamp for s in people.persons[2].sightings] == [1.0, 4.0]
    finer = [msgspec.structs.replace(one, index=i, timestamp=i / 2) for i, one in enumerate(two_people())]
    people = people_in(finer, sampling_interval=0.5, divisions=[Division(division_id="7-0", spots=spots[:1])])
    assert [s.frame.timestamp for s in people.persons[2].sightings] == [1.0], "by time, whatever the sampling"
    nowhere = Division(division_id="7-0", spots=(Spot(timestamp=1.0, x=900.0, y=0.0),))
    assert len(people_in(two_people(), divisions=[nowhere]).persons) == 2
    assert people_in([], divisions=[nowhere]).persons == []


def test_the_order_of_arrival_does_not_matter() -> None:
    frames = two_people()
    expected = describe(people_in(frames))
    for seed in range(5):
        random.Random(seed).shuffle(frames)
        assert describe(people_in(frames)) == expected


def test_the_best_shot_represents_the_person_and_gives_the_embedding() -> None:
    frames = [frame(i, [face(person(0, 0.3, i), quality=0.9 if i == 2 else 0.4)]) for i in range(5)]
    (only,) = describe(people_in(frames))
    assert only.representative_detection.frame_index == 2
    assert math.isclose(math.hypot(*only.embedding), 1.0, abs_tol=1e-6)
    assert only.embedding[0] == pytest.approx(1 / math.hypot(1.0, 0.3), abs=0.05)


def test_the_person_embedding_is_the_mean_of_all_detections() -> None:
    """What differs from shot to shot cancels out; there is no mean of a single one."""
    frames = [frame(i, [face(person(0, 0.3, i), quality=0.9 if i == 2 else 0.4)]) for i in range(5)]
    (only,) = describe(people_in(frames))
    assert isinstance(only.person_embedding, list) and len(only.person_embedding) == 512
    assert math.isclose(math.hypot(*only.person_embedding), 1.0, abs_tol=1e-6)
    assert only.person_embedding[0] > only.embedding[0] + 0.01
    (single,) = describe(people_in(frames[:1]))
    assert single.person_embedding is msgspec.UNSET


def test_what_is_left_out_is_counted_by_reason() -> None:
    frames = two_people()
    frames[0] = frame(0, [face(person(0), quality=0.1)])
    people = people_in(frames, min_quality=0.2, max_faces=1)
    assert len(people.persons) == 1
    assert (people.rejected.low_confidence, people.rejected.low_quality, people.rejected.max_faces) == (
        6,
        1,
        3,
    )
    assert people.detections == 5


def test_without_deduplication_every_detection_is_a_face() -> None:
    people = people_in(two_people(), deduplicate=False)
    assert len(people.persons) == 9 and people.detections == 9


def test_no_faces_give_no_people() -> None:
    people = people_in([frame(0, []), frame(1, [])])
    assert people.persons == [] and describe(people) == []


def test_demographics_are_those_of_the_best_shots_of_a_person() -> None:
    qualities = [0.5, 0.9, 0.6, 0.9, 0.7, 0.8, 0.4]
    frames = [
        frame(i, [face(person(0, 0.2, i if i != 3 else 1), quality=quality)])
        for i, quality in enumerate(qualities)
    ]
    (only,) = people_in(frames).persons
    shots = [sighting.frame.index for sighting in only.best_shots]
    assert shots == [1, 5, 4, 2, 0], "best first; the picture that is shown twice counts once"
    assert only.best_shots[0] is only.best and len(only.sightings) == 7
    (restored,) = people_in([frame(4, [face(person(0), enhanced=True)])]).persons[0].best_shots
    assert (restored.portrait, restored.original_portrait) == ("4+/0", "4/0")
    estimates = [
        (FaceAttributes(age, age - 5.2, age + 6.7, male), weight)
        for age, male, weight in ((20.0, 0.9, 0.8), (30.0, 0.85, 0.8), (90.0, 0.9, 0.8), (95.0, 0.1, 0.01))
    ]
    assert of_person(estimates) == Demographics(age=30, age_low=25, age_high=37, gender="M")
    assert of_person([]) == of_person([(FaceAttributes(), 1.0)]) == Demographics()


def test_a_gender_that_would_be_a_guess_is_left_out() -> None:
    assert of_person([(FaceAttributes(male=0.9), 0.5), (FaceAttributes(male=0.3), 0.5)]).gender is None


def test_appearances_join_samples_in_a_row() -> None:
    seen = (0, 1, 2, 5, 7, 8)
    frames = [frame(i, [face(person(0), x=100)] if i in seen else []) for i in range(9)]
    (only,) = describe(people_in(frames))
    assert [(a.start, a.end) for a in only.appearances] == [(0.0, 2.0), (5.0, 5.0), (7.0, 8.0)]
    assert only.share == 1.0 and only.cohesion == pytest.approx(1.0) and only.nearest is None


def test_the_nearest_other_person_is_named() -> None:
    one, near, far = person(0), person(0, 3.0), person(1)
    faces = describe(people_in([frame(0, [face(one, x=0), face(near, x=300), face(far, x=600)])]))
    assert faces[0].nearest is not None and faces[0].nearest.face_id == "face_1"
    assert faces[0].nearest.similarity == pytest.approx(1 / math.hypot(1, 3), abs=0.1)


def test_weak_detections_are_counted_for_each_person() -> None:
    """Blurs, which the embedder answers with short vectors, are a person's, but tell less of him."""
    sure, blurred = person(0), 0.3 * person(0)
    frames = [frame(i, [face(blurred if i in (2, 3) else sure)]) for i in range(8)]
    (only,) = describe(people_in(frames))
    assert len(only.detections) == 8 and only.weak_detections == 2
    apart = describe(people_in(frames, deduplicate=False))
    assert sorted(f.weak_detections for f in apart) == [0] * 6 + [1] * 2


def test_faces_have_a_thumbnail_and_requested_matches() -> None:
    people = people_in(two_people())
    faces = describe(people)
    assert [f.thumbnail for f in faces] == ["faces/face_0/thumbnail", "faces/face_1/thumbnail"]
    assert all(f.matches is msgspec.UNSET for f in faces)
    like = Match(collection="c", person_id="p", label="Ann", face_id="f", similarity=0.8)
    matched = describe_people(people, None, [[like], []], frames=6)
    assert [f.matches for f in matched] == [[like], []]
