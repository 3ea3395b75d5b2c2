"""Signs and classes of head pose, on photographs, their mirror images and tilted copies."""

import numpy as np
import pytest

from facecore.pose import from_landmarks
from facecore.quality import pose_class
from schemas.observations import Angles


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
