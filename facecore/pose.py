"""Head pose in degrees: from a pose network, from 68 landmarks in space, or from five in the picture.

Signs, whatever the source: yaw < 0 looks to the left of the picture, pitch > 0 up, roll > 0 is tilted clockwise
as seen in the picture.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facecore.align import FaceInImage, Points, crop, imagenet_sample
from facecore.geometry import widened
from facecore.model import Array, Model, Outputs, batch_size
from schemas.observations import Angles

BATCH = 16
HOPENET_SIDE = 224
HOPENET_MARGIN = 1.5
"""Side of the crop in sides of the box."""
BIN, FIRST_BIN = 3.0, -99.0
"""Degrees: the network tells a distribution over 66 bins of 3°, of which the mean is the angle."""

YAW_BIAS, ROLL_BIAS = 1.75, -1.5
"""Degrees by which the open pack's network sees a photograph and its mirror image turned to the same side."""

NOSE_DEPTH, MOUTH_DEPTH = 0.53, 0.12
NOSE_DROP, MOUTH_DROP = 0.57, 1.16
"""How far the tip of the nose and the mouth lie before and below the line of the eyes in an upright frontal head,
in distances between the eyes: depths from InsightFace's mean face of 68 points, drops from ArcFace's template."""


def load_hopenet(session: Any) -> Model[FaceInImage, Angles]:
    """A network after Ruiz et al. 2018 (open pack): outputs yaw, pitch, roll as logits over bins."""
    return Model(session, _hopenet_sample, _read_hopenet, batch_size(session, BATCH))


def _hopenet_sample(face: FaceInImage) -> Points:
    return imagenet_sample(crop(face.image, widened(face.box, HOPENET_MARGIN), HOPENET_SIDE))


def _read_hopenet(outputs: Outputs) -> list[Angles]:
    yaw, pitch, roll = (_expectation(logits) for logits in outputs)
    turned = zip(-yaw - YAW_BIAS, pitch, roll - ROLL_BIAS, strict=True)
    return [Angles(*(float(v) for v in values)) for values in turned]


def _expectation(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    bins = np.arange(logits.shape[1], dtype=np.float32) * BIN + FIRST_BIN
    return np.asarray((odds * bins).sum(1) / odds.sum(1), np.float32)


def from_landmarks(landmarks: Points) -> Angles:
    """An estimate from eyes, nose and corners of the mouth, (5, 2) pixels; for want of a pose model.

    Roll is the slope of the line through the eyes. In the upright face the nose moves sideways with yaw, and up
    or down between eyes and mouth with pitch; both are solved for a rigid head seen from afar.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.astype(np.float64)
    across = right_eye - left_eye
    roll = float(np.degrees(np.arctan2(across[1], across[0])))
    upright = _rotation(-roll)
    eyes = (left_eye + right_eye) / 2
    nose_x, nose_y = upright @ (nose - eyes)
    _, mouth_y = upright @ ((left_mouth + right_mouth) / 2 - eyes)
    distance = max(float(np.hypot(*across)), 1e-6)
    yaw = float(np.degrees(np.arctan2(nose_x / distance, NOSE_DEPTH)))
    share = float(np.clip(nose_y / mouth_y if mouth_y > 1e-6 else 0.0, -1.0, 2.0))
    pitch = float(np.degrees(np.arctan2(NOSE_DROP - share * MOUTH_DROP, NOSE_DEPTH - share * MOUTH_DEPTH)))
    return Angles(yaw, float(np.clip(pitch, -90.0, 90.0)), roll)


def _rotation(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])
