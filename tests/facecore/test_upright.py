"""Heads on their side and upside down are turned upright before networks and people see them."""

import cv2
import msgspec
import numpy as np
import pytest

from facecore.align import FaceInImage, Image, tilt
from facecore.analyzer import Analyzer
from facecore.geometry import clipped
from facecore.portraits import part_within, portrait, trimmed
from facecore.turning import upright
from facecore.vectors import cosine
from facecore.video.images import decode, encode
from tests.facecore.conftest import Look, as_frame
from tests.facecore.faces import face, person

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


@pytest.mark.parametrize("center", [(25, 60), (180, 60), (100, 20), (20, 20), (150, 100), (100, 60)])
@pytest.mark.parametrize("degrees", [0, 15, -40, 90, 180])
@pytest.mark.parametrize("side", [40, 110])
def test_a_portrait_at_the_edge_shows_the_picture_and_nothing_else(
    center: tuple[int, int], degrees: int, side: int
) -> None:
    """The picture is green; beyond it, a portrait is red here."""
    width, height, around = 200, 120, 200
    wide = np.full((height + 2 * around, width + 2 * around, 3), (0, 0, 255), np.uint8)
    wide[around:-around, around:-around] = 0, 255, 0
    x, y = center
    box = clipped((x - side / 2.5, y - side / 2, x + side / 2.5, y + side / 2), width, height)
    turn = cv2.getRotationMatrix2D((x, y), -degrees, 1.0)
    points = LANDMARKS * (side / 400) + np.array(center) - np.array((200, 200)) * (side / 400)
    landmarks = (points @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    seen = msgspec.structs.replace(face(person(0)), box=box, landmarks=tuple(map(float, landmarks.ravel())))
    moved = (box[0] + around, box[1] + around, box[2] + around, box[3] + around)
    head = upright(FaceInImage(wide, moved, landmarks + around)).face
    whole = portrait(head.image, head.box)
    part = part_within(seen, width, height)
    shown = whole if part is None else decode(trimmed(encode(whole, 90), part))
    assert shown.shape[0] == shown.shape[1] >= 0.4 * whole.shape[0] - 1
    assert shown[..., 2].max() < 60, "nothing from beyond the picture"
    assert part is not None or whole[..., 2].max() < 60


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
