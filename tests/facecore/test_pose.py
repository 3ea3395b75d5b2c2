"""Signs and classes of head pose, on photographs, their mirror images and tilted copies."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.pose import from_landmarks
from facecore.quality import pose_class
from schemas.observations import Angles, ObservedFace
from tests.facecore.conftest import Look, as_frame, read

MIRRORED = {"left": "right", "right": "left", "front-rotate-left": "front-rotate-right",
            "front-rotate-right": "front-rotate-left", "front": "front"}  # fmt: skip


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
def portraits(look: Look, shared_data: Path) -> list[tuple[Image, ObservedFace]]:
    images = [read(file) for file in sorted((shared_data / "images").glob("*/*"))]
    return [(image, look(image).faces[0]) for image in images]


def test_the_mirror_image_looks_the_other_way(
    look: Look, portraits: list[tuple[Image, ObservedFace]]
) -> None:
    yaw, clear = [], 0
    for image, face in portraits:
        mirrored = look(np.ascontiguousarray(image[:, ::-1])).faces[0].angles
        yaw.append(face.angles.yaw + mirrored.yaw)
        assert mirrored.pitch == pytest.approx(face.angles.pitch, abs=10)
        if abs(abs(face.angles.yaw) - 15) > 3 and abs(abs(face.angles.roll) - 15) > 3:
            clear += 1
            assert pose_class(mirrored) == MIRRORED[pose_class(face.angles)]
    assert clear > 40
    assert np.abs(yaw).mean() < 5
    assert abs(np.mean(yaw)) < 1.5  # no preferred side


def test_the_nose_points_where_the_face_looks(portraits: list[tuple[Image, ObservedFace]]) -> None:
    """Native yaw against the geometry of eyes and nose, which needs no model to have a sign."""
    sideways = [face for _, face in portraits if abs(face.angles.yaw) > 20]
    assert {np.sign(face.angles.yaw) for face in sideways} == {-1.0, 1.0}
    for face in sideways:
        left_eye, right_eye, nose = np.array(face.landmarks).reshape(5, 2)[:3]
        across = right_eye - left_eye  # along the line of the eyes: the head may be tilted as well
        assert np.sign((nose - (left_eye + right_eye) / 2) @ across) == np.sign(face.angles.yaw)


@pytest.mark.parametrize(("clockwise", "expected"), [(25, "front-rotate-right"), (-25, "front-rotate-left")])
def test_a_tilted_copy_is_tilted(
    look: Look, portraits: list[tuple[Image, ObservedFace]], clockwise: float, expected: str
) -> None:
    upright = [(i, f) for i, f in portraits if abs(f.angles.yaw) < 8 and abs(f.angles.roll) < 6]
    assert len(upright) >= 5
    for image, face in upright:
        tilted = look(turned(image, face, clockwise)).faces[0]
        assert tilted.angles.roll - face.angles.roll == pytest.approx(clockwise, abs=10)
        assert pose_class(tilted.angles) == expected
        assert five(tilted).roll * np.sign(clockwise) > 5


def test_five_landmarks_agree_with_the_network(portraits: list[tuple[Image, ObservedFace]]) -> None:
    yaw = np.array([(face.angles.yaw, five(face).yaw) for _, face in portraits])
    roll = np.array([(face.angles.roll, five(face).roll) for _, face in portraits])
    assert np.corrcoef(yaw.T)[0, 1] > 0.85
    assert np.abs(yaw[:, 0] - yaw[:, 1]).mean() < 8
    assert np.abs(roll[:, 0] - roll[:, 1]).mean() < 6


def test_angles_of_drawn_landmarks() -> None:
    """Yaw, pitch and roll of a rigid head seen from afar come back from its five points."""
    from facecore.pose import MOUTH_DEPTH, MOUTH_DROP, NOSE_DEPTH, NOSE_DROP

    head = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, NOSE_DROP, NOSE_DEPTH], [-0.4, MOUTH_DROP, MOUTH_DEPTH],
                     [0.4, MOUTH_DROP, MOUTH_DEPTH]])  # fmt: skip

    def seen(yaw: float = 0, pitch: float = 0, roll: float = 0) -> Angles:
        y, p, r = np.radians([yaw, pitch, roll])
        around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        points = head @ (around_z @ around_y @ around_x).T
        return from_landmarks((points[:, :2] * 60 + 200).astype(np.float32))

    for degrees in (-40, -15, 0, 15, 40):
        assert seen(yaw=degrees).yaw == pytest.approx(degrees, abs=0.1)
        assert seen(pitch=degrees / 2).pitch == pytest.approx(degrees / 2, abs=0.1)
        assert seen(roll=degrees).roll == pytest.approx(degrees, abs=0.1)
        assert seen(yaw=degrees, roll=20).yaw == pytest.approx(degrees, abs=0.1)


@pytest.mark.parametrize(
    ("yaw", "roll", "expected"),
    [
        (-15.1, 0, "left"), (15.1, 0, "right"), (-15, 0, "front"), (15, 0, "front"), (0, -15.1, "front-rotate-left"),
        (0, 15.1, "front-rotate-right"), (0, 15, "front"), (-30, 40, "left"), (30, -40, "right"),
    ],
)  # fmt: skip
def test_classes_at_their_limits(yaw: float, roll: float, expected: str) -> None:
    assert pose_class(Angles(yaw, 0.0, roll)) == expected
