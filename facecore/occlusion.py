"""The occlusion classifier: a ResNet18 with two classes (0 free, 1 occluded)."""

from typing import Any

import numpy as np

from facecore.align import FaceInImage, Points, crop, imagenet_sample
from facecore.geometry import squared
from facecore.model import Model, Outputs, batch_size

SIDE, GPU_BATCH = 224, 16
CROP_SCALE = 1.36
"""Side of the square crop in longer sides of the box: the classifier was trained with a margin of 18 % on every
side."""


def load(session: Any) -> Model[FaceInImage, float]:
    """Returns a model from faces to the probability, 0-1, that the face is occluded (softmax of class 1)."""
    return Model(session, _sample, _read, batch_size(session, GPU_BATCH))


def _sample(face: FaceInImage) -> Points:
    return imagenet_sample(crop(face.image, squared(face.box, CROP_SCALE), SIDE))


def _read(outputs: Outputs) -> list[float]:
    free, occluded = outputs[0][:, 0].astype(np.float64), outputs[0][:, 1].astype(np.float64)
    return [float(p) for p in 1.0 / (1.0 + np.exp(np.clip(free - occluded, -60.0, 60.0)))]
