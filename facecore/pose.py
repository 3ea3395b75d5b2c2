"""Head pose in degrees, from a pose network or from five landmarks; `facecore.zoo` estimates it from 68 landmarks.

Signs in all cases: yaw < 0 looks to the left of the picture, pitch > 0 looks up, roll > 0 is tilted clockwise as seen
in the picture.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facecore.align import FaceInImage, Points, crop, imagenet_sample
from facecore.geometry import widened
from facecore.model import Model, Outputs, batch_size
from schemas.observations import Angles

GPU_BATCH = 16
HOPENET_SIDE = 224
HOPENET_CROP_SCALE = 1.5
"""Side of the crop in sides of the box."""
BIN_DEGREES, FIRST_BIN_DEGREES = 3.0, -99.0
"""The network outputs a distribution over 66 bins of 3°; its mean is the angle."""

YAW_BIAS_DEGREES, ROLL_BIAS_DEGREES = 1.75, -1.5
"""Systematic error of the open pack's network: it sees a photograph and its mirror image turned to the same side."""

NOSE_DEPTH, MOUTH_DEPTH = 0.53, 0.12
NOSE_DROP, MOUTH_DROP = 0.57, 1.16
"""Distance of nose tip and mouth in front of (depth) and below (drop) the line of the eyes, in an upright frontal
head; unit: distance between the eyes. Depths are from InsightFace's mean face of 68 points, drops from ArcFace's
template."""


def load_hopenet(session: Any) -> Model[FaceInImage, Angles]:
    """Returns the model of a Hopenet (Ruiz et al. 2018; open pack): outputs yaw, pitch, roll as logits over bins."""
    return Model(session, _hopenet_sample, _read_hopenet, batch_size(session, GPU_BATCH))


def _hopenet_sample(face: FaceInImage) -> Points:
    return imagenet_sample(crop(face.image, widened(face.box, HOPENET_CROP_SCALE), HOPENET_SIDE))


def _read_hopenet(outputs: Outputs) -> list[Angles]:
    yaw, pitch, roll = (_expectation(logits) for logits in outputs)
    turned = zip(-yaw - YAW_BIAS_DEGREES, pitch, roll - ROLL_BIAS_DEGREES, strict=True)
    return [Angles(*(float(v) for v in values)) for values in turned]


def _expectation(logits: Points) -> Points:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    bins = np.arange(logits.shape[1], dtype=np.float32) * BIN_DEGREES + FIRST_BIN_DEGREES
    return np.asarray((odds * bins).sum(1) / odds.sum(1), np.float32)


def from_landmarks(landmarks: Points) -> Angles:
    """Estimates the pose from eyes, nose and corners of the mouth, (5, 2) pixels, where a pack has no pose model.

    Roll is the slope of the line through the eyes. In the upright face the nose moves sideways with yaw, and up or
    down between eyes and mouth with pitch; both are solved for a rigid head in orthographic projection.
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


def tilted(angles: Angles, degrees: float) -> Angles:
    """Returns the pose of a head that was turned upright by ``degrees`` before its pose was estimated."""
    roll = (angles.roll + degrees + 180.0) % 360.0 - 180.0 if degrees else angles.roll
    return Angles(angles.yaw, angles.pitch, roll)


def _rotation(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])
