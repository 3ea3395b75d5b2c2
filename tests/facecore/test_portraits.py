"""Photographs of known people, their mirror images and tilted copies: likeness, gender and head pose."""

import itertools
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.attributes import FaceAttributes
from facecore.pose import from_landmarks
from facecore.quality import pose_class
from schemas.observations import Angles, ObservedFace
from tests.eval.demographics import attributes_of
from tests.eval.labels import PEOPLE
from tests.facecore.conftest import Look, as_frame, read
from tests.facecore.test_analyzer import vector

MIRRORED = {"left": "right", "right": "left", "front-rotate-left": "front-rotate-right",
            "front-rotate-right": "front-rotate-left", "front": "front"}  # fmt: skip


class Portrait(NamedTuple):
    name: str
    image: Image
    face: ObservedFace


def five(face: ObservedFace) -> Angles:
    return from_landmarks(np.array(face.landmarks, np.float32).reshape(5, 2))


def turned(image: Image, face: ObservedFace, clockwise: float) -> Image:
    center = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
    matrix = cv2.getRotationMatrix2D(center, -clockwise, 1.0)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.fixture(scope="module")
def look(analyzer: Analyzer) -> Look:
    """Several photographs are filled by the face, which costs the detector confidence."""
    return lambda image: analyzer.analyze([as_frame(image, min_confidence=0.3)])[0]


@pytest.fixture(scope="module")
def people(look: Look, shared_data: Path) -> list[Portrait]:
    """All photographs, analysed once."""
    files = sorted((shared_data / "images").glob("*/*"))
    return [Portrait(file.parent.name, image := read(file), look(image).faces[0]) for file in files]


def test_the_mirror_image_looks_the_other_way(look: Look, people: list[Portrait]) -> None:
    yaw, clear = [], 0
    for _, image, face in people:
        mirrored = look(np.ascontiguousarray(image[:, ::-1])).faces[0].angles
        yaw.append(face.angles.yaw + mirrored.yaw)
        assert mirrored.pitch == pytest.approx(face.angles.pitch, abs=10)
        if abs(abs(face.angles.yaw) - 15) > 3 and abs(abs(face.angles.roll) - 15) > 3:
            clear += 1
            assert pose_class(mirrored) == MIRRORED[pose_class(face.angles)]
    assert clear > 40
    assert np.abs(yaw).mean() < 5
    assert abs(np.mean(yaw)) < 1.5  # no preferred side


def test_the_nose_points_where_the_face_looks(people: list[Portrait]) -> None:
    """Native yaw against the geometry of eyes and nose, which needs no model to have a sign."""
    sideways = [face for _, _, face in people if abs(face.angles.yaw) > 20]
    assert {np.sign(face.angles.yaw) for face in sideways} == {-1.0, 1.0}
    for face in sideways:
        left_eye, right_eye, nose = np.array(face.landmarks).reshape(5, 2)[:3]
        across = right_eye - left_eye  # along the line of the eyes: the head may be tilted as well
        assert np.sign((nose - (left_eye + right_eye) / 2) @ across) == np.sign(face.angles.yaw)


@pytest.mark.parametrize(("clockwise", "expected"), [(25, "front-rotate-right"), (-25, "front-rotate-left")])
def test_a_tilted_copy_is_tilted(look: Look, people: list[Portrait], clockwise: float, expected: str) -> None:
    upright = [(i, f) for _, i, f in people if abs(f.angles.yaw) < 8 and abs(f.angles.roll) < 6]
    assert len(upright) >= 5
    for image, face in upright:
        tilted = look(turned(image, face, clockwise)).faces[0]
        assert tilted.angles.roll - face.angles.roll == pytest.approx(clockwise, abs=10)
        assert pose_class(tilted.angles) == expected
        assert five(tilted).roll * np.sign(clockwise) > 5


def test_five_landmarks_agree_with_the_network(people: list[Portrait]) -> None:
    yaw = np.array([(face.angles.yaw, five(face).yaw) for _, _, face in people])
    roll = np.array([(face.angles.roll, five(face).roll) for _, _, face in people])
    assert np.corrcoef(yaw.T)[0, 1] > 0.85
    assert np.abs(yaw[:, 0] - yaw[:, 1]).mean() < 8
    assert np.abs(roll[:, 0] - roll[:, 1]).mean() < 6


def test_every_face_is_found_with_the_confidence_that_is_wanted_by_default(
    analyzer: Analyzer, people: list[Portrait]
) -> None:
    assert len(people) >= 50
    assert min(face.confidence for _, _, face in people) >= analyzer.describe().min_confidence


def test_same_people_are_alike_and_others_are_not(people: list[Portrait]) -> None:
    same, others = [], []
    vectors = [(name, vector(face)) for name, _, face in people]
    for (name, one), (other_name, other) in itertools.combinations(vectors, 2):
        (same if name == other_name else others).append(float(one @ other))
    assert np.median(same) > 0.6 > 0.4 > np.quantile(others, 0.999)
    right = np.mean(np.array(same) > 0.4)
    assert right > 0.9


@pytest.fixture(scope="module")
def said(analyzer: Analyzer, people: list[Portrait]) -> list[FaceAttributes]:
    """What is estimated of the people."""
    return [attributes_of(analyzer, image, [face])[0] for _, image, face in people]


def test_the_right_gender_or_none(people: list[Portrait], said: list[FaceAttributes]) -> None:
    """Gender is given from 0.8 on; the open pack decides on nearly all."""
    women = {"bbt_amy", "bbt_bernadette", "bbt_penny", "eileen_collins", "rose_leslie"}
    decided, right = 0, 0
    for (name, _, _), one in zip(people, said, strict=True):
        assert one.male is not None
        if one.male >= 0.8 or one.male <= 0.2:
            decided += 1
            right += (one.male >= 0.8) == (name not in women)
    assert decided >= 0.9 * len(people)
    assert right / decided >= 0.95


def test_ages_are_nearer_than_a_constant_and_in_their_ranges(
    people: list[Portrait], said: list[FaceAttributes]
) -> None:
    truth = np.array([PEOPLE[name][1] for name, _, _ in people])
    ages = np.array([(one.age, one.age_low, one.age_high) for one in said], np.float64)
    assert np.abs(ages[:, 0] - truth).mean() < 4.5 < np.abs(truth - np.median(truth)).mean()
    assert np.corrcoef(ages[:, 0], truth)[0, 1] > 0.8, "they are not all about forty"
    assert ((ages[:, 1] <= truth) & (truth <= ages[:, 2])).mean() >= 0.8
