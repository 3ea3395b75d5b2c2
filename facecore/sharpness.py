"""Sharpness of a face, 0-1, by TOPIQ-NR, CLIP-IQA or Sobel energy. Scores of different methods are not comparable."""

import math
from typing import Any

import cv2
import numpy as np

from facecore.align import FaceInImage, crop, to_sample
from facecore.model import Model, Outputs, batch_size

GPU_BATCH = 4
TOPIQ_SIDE, CLIPIQA_SIDE = 384, 224
METHODS = {"topiq_nr.onnx": ("topiq_nr", TOPIQ_SIDE), "clipiqa_plus.onnx": ("clipiqa", CLIPIQA_SIDE)}
"""Model file → name of the method, side of its input in pixels."""

SOBEL_SIDE = 64
"""Pixels; small enough that a face of 80 source pixels can score as high as one of 800."""
SOBEL_NOISE_VARIANCE = 25.0
"""Grey levels squared; added to the variance, so that flat, noisy pictures do not count as sharp."""
SOBEL_SCALE = 0.1
"""Gradient energy per contrast at which the score is 1 - 1/e: portraits in focus have 0.09-0.19, the same blurred by
a Gaussian of 4 % of the face's width 0.03-0.06, of 8 % 0.01-0.03."""


def load(session: Any, side: int) -> Model[FaceInImage, float]:
    """Returns the model of a network that takes RGB 0-1 and outputs quality, 0-1.

    Args:
        side: of the square input in pixels.
    """
    return Model(
        session,
        lambda face: to_sample(crop(face.image, face.box, side), 0.0, 255.0),
        _read,
        batch_size(session, GPU_BATCH),
    )


def _read(outputs: Outputs) -> list[float]:
    return [float(v) for v in np.clip(outputs[0].reshape(len(outputs[0]), -1)[:, 0], 0.0, 1.0)]


def sobel(face: FaceInImage) -> float:
    """Returns the Sobel energy of a face relative to its contrast, 0-1, on 64×64 grey pixels.

    The mean squared gradient is the Tenengrad focus measure (Krotkov 1988).

    ``r = mean(|gradient|²) / (variance + 25)``, with gradients by 3×3 Sobel kernels divided by 8 (grey levels
    a pixel); the score is ``1 - exp(-r / 0.1)``. Blur lowers the energy more than the variance, so the score falls.
    Dividing by the variance makes the score independent of brightness.
    """
    grey = cv2.cvtColor(crop(face.image, face.box, SOBEL_SIDE), cv2.COLOR_BGR2GRAY).astype(np.float32)
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    energy = float(np.mean(across * across + down * down))
    return 1.0 - math.exp(-energy / (float(grey.var()) + SOBEL_NOISE_VARIANCE) / SOBEL_SCALE)
