"""Faces that show too little to tell people apart are counted, not merged, and shown brightened."""

import cv2
import msgspec
import numpy as np
import pytest

from consumers.job_result import demographics_of
from facecore.align import ARCFACE_TEMPLATE, FaceInImage, Image
from facecore.analyzer import Analyzer
from facecore.identifiability import DARK_BELOW, brightened, visibility
from facecore.people import gather
from facecore.result_builder import describe
from schemas.messages import FinalizeTask
from schemas.observations import FrameFaces
from schemas.results import Demographics
from tests.facecore.conftest import Look
from tests.facecore.faces import face, frame, person


def people_in(frames: list[FrameFaces], **options: bool):  # type: ignore[no-untyped-def]
    return gather(
        frames,
        threshold=0.6,
        deduplicate=True,
        sampling_interval=1.0,
        min_quality=0.0,
        max_faces=50,
        **options,
    )


def darkened(image: Image, factor: float) -> Image:
    return np.round(image / factor).astype(np.uint8)


@pytest.mark.parametrize("factor", [20, 30])
def test_nearly_black_faces_are_no_person(look: Look, group: Image, factor: int) -> None:
    seen = look(darkened(group, factor))
    assert len(seen.faces) == 6
    people = people_in([seen, msgspec.structs.replace(seen, index=1, timestamp=1.0)])
    assert (len(people.persons), people.unidentifiable) == (0, 12)
    asked = people_in([seen], include_unidentifiable=True)
    happy = FinalizeTask(emotions=("happy",) * 6, attributes=(Demographics(age=30),) * 6)
    faces = describe(asked, demographics_of(asked, happy), frames=1)
    assert [len(one.detections) for one in faces] == [1] * 6, "each stays apart"
    assert not any(one.identifiable or one.nearest for one in faces)
    assert all(one.thumbnail_brightened and one.demographics == Demographics(age=30) for one in faces)


@pytest.mark.parametrize("factor", [1, 8])
def test_dim_faces_are_people(look: Look, group: Image, factor: int) -> None:
    people = people_in([look(darkened(group, factor))])
    assert (len(people.persons), people.unidentifiable) == (6, 0)


@pytest.mark.parametrize("factor", [10, 12, 14])
def test_two_dark_people_of_a_frame_are_never_one_person(look: Look, group: Image, factor: int) -> None:
    seen = look(darkened(group, factor))
    people = people_in([seen, msgspec.structs.replace(seen, index=1, timestamp=1.0)])
    assert [len(one.sightings) for one in people.persons] == [2] * len(people.persons)
    assert 2 * len(people.persons) + people.unidentifiable == 2 * len(seen.faces) == 12


def test_portraits_of_dark_faces_are_brightened_and_others_are_as_they_were(
    analyzer: Analyzer, look: Look, group: Image
) -> None:
    dark = darkened(group, 20)
    shown = analyzer.portrait(dark, look(dark).faces[0])
    assert np.percentile(shown, 95) > 4 * DARK_BELOW
    [bright, *_] = look(group).faces
    again = msgspec.structs.replace(bright, dark=True)
    assert np.abs(analyzer.portrait(group, again).astype(int) - analyzer.portrait(group, bright)).mean() < 5
    assert brightened(np.zeros((8, 8, 3), np.uint8)).max() == 0


@pytest.mark.parametrize("pixels", [0, 100])
def test_a_heavily_blurred_face_is_not_identifiable(pixels: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    image = np.asarray(cv2.resize(image, (400, 400)), np.uint8)
    shown = np.asarray(cv2.blur(image, (pixels, pixels)), np.uint8) if pixels else image
    points = 2 * ARCFACE_TEMPLATE + 50
    assert visibility(FaceInImage(shown, (50.0, 50.0, 250.0, 250.0), points)).identifiable == (not pixels)
    assert not visibility(FaceInImage(image, (50.0, 50.0, 60.0, 65.0), points)).identifiable, "a few pixels"


def test_who_cannot_be_identified_does_not_change_who_can() -> None:
    known = [frame(i, [face(person(0, 0.2, i))]) for i in range(4)]
    mixed = [
        msgspec.structs.replace(one, faces=(*one.faces, face(person(0), x=600, identifiable=False)))
        for one in known
    ]
    assert [len(p.sightings) for p in people_in(mixed).persons] == [4]
    assert people_in(mixed).unidentifiable == 4
    asked = people_in(mixed, include_unidentifiable=True)
    assert [len(p.sightings) for p in asked.persons] == [4, 1, 1, 1, 1]
    faces = describe(asked, None, frames=4)
    assert [one.nearest for one in faces] == [None] * 5
    assert [one.identifiable for one in faces] == [True, False, False, False, False]
