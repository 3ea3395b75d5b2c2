"""Heads on their side and upside down are turned upright before networks and people see them."""

import cv2
import numpy as np
import pytest

from facecore.align import FaceInImage, Image, crop, tilt
from facecore.analyzer import Analyzer
from facecore.turning import upright
from facecore.vectors import cosine
from tests.facecore.conftest import Look, as_frame

LANDMARKS = np.array([[150, 150], [250, 150], [200, 200], [160, 250], [240, 250]], np.float32)


def turned(degrees: float) -> FaceInImage:
    """A face that is tilted clockwise by so many degrees."""
    image = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    matrix = cv2.getRotationMatrix2D((200, 200), -degrees, 1.0)
    points = (LANDMARKS @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return FaceInImage(image, (120.0, 100.0, 280.0, 300.0), points)


@pytest.mark.parametrize("degrees", [-170, -90, -40, -30, 30, 40, 90, 170])
def test_a_tilted_head_is_turned_upright(degrees: int) -> None:
    face, undone, _ = upright(turned(degrees))
    assert undone == pytest.approx(degrees, abs=3)
    assert tilt(face.landmarks) == pytest.approx(0, abs=0.1)
    x_min, y_min, x_max, y_max = face.box
    side = face.image.shape[0]
    assert (0 <= x_min < x_max <= side, 0 <= y_min < y_max <= side) == (True, True)


def test_an_upright_head_is_left_as_it_is() -> None:
    face = turned(15)
    assert upright(face).face is face


def test_a_portrait_that_leaves_the_picture_has_no_smeared_edge() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[::2] = 255
    shown = crop(image, (-50.0, 0.0, 50.0, 100.0), 100, plain=True)
    assert len(np.unique(shown[:, :45])) == 1
    assert len(np.unique(crop(image, (-50.0, 0.0, 50.0, 100.0), 100)[:, :45])) == 2


@pytest.mark.parametrize(("turn", "roll"), [(cv2.ROTATE_90_CLOCKWISE, 90), (cv2.ROTATE_180, 180)])
def test_a_picture_on_its_side_or_upside_down_gives_the_same_people(
    analyzer: Analyzer, look: Look, group: Image, turn: int, roll: int
) -> None:
    lying = np.ascontiguousarray(cv2.rotate(group, turn), np.uint8)
    found, standing = look(lying).faces, look(group).faces
    assert len(found) >= (4 if roll == 90 else 2)
    assert np.median([face.occlusion_probability or 0.0 for face in found]) < 0.2
    assert abs(np.median([abs(face.angles.roll) for face in found]) - roll) < 35
    assert np.median([max(cosine(face.embedding, one.embedding) for one in standing) for face in found]) > 0.8
    emotions = analyzer.emotions([analyzer.portrait(lying, face) for face in found])
    assert emotions.count("happy") >= len(found) - 2  # all laugh or smile


def test_a_head_whose_landmarks_say_too_little_tilt_is_looked_at_again(look: Look, group: Image) -> None:
    """Turned by 60 degrees, the detector's first landmarks of one of the six say 28."""
    standing = look(group).faces
    height, width = group.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -60, 1.0)
    side = width + height
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    found = look(np.asarray(cv2.warpAffine(group, matrix, (side, side)), np.uint8)).faces
    alike = [max(cosine(face.embedding, one.embedding) for one in standing) for face in found]
    assert len(found) >= 5
    assert min(alike) > 0.6


def test_a_result_does_not_depend_on_the_other_heads_of_the_batch(analyzer: Analyzer, group: Image) -> None:
    lying = np.ascontiguousarray(cv2.rotate(group, cv2.ROTATE_90_CLOCKWISE), np.uint8)
    together = analyzer.analyze([as_frame(lying), as_frame(group, 1)])
    assert together[0] == analyzer.analyze([as_frame(lying)])[0]
