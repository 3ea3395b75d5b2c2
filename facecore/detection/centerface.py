"""The CenterFace detector (Xu et al. 2019): a heat map of face centres with size, offset and landmarks at each."""

from typing import Any

import numpy as np

from facecore.align import Points, to_sample
from facecore.detection.detector import (
    HINT_SCORE,
    Calibration,
    Canvas,
    Detections,
    Detector,
    non_maximum_suppression,
)
from facecore.device import on_gpu
from facecore.model import Model, Outputs, batch_size

STRIDE = 4
NMS_IOU = 0.3
CALIBRATION = Calibration(odds=0.25, slope=4.0)
"""Fitted to labelled films and photographs (tests.eval.confidence), rounded so that score 0.5 is confidence 0.8."""
MIN_CONFIDENCE = 0.8
"""Score 0.5, the threshold that CenterFace's authors use."""
GPU_BATCH = 8


def load(session: Any, name: str) -> Detector:
    """Returns the detector.

    Args:
        session: takes (N, 3, H, W), RGB 0-255, sides divisible by 32. Its outputs have a quarter of that resolution:
            heat (N, 1), log of height and width (N, 2), offset y, x (N, 2), landmarks y, x relative to the
            box (N, 10).
        name: of the model file.
    """
    model: Model[Canvas, Detections] = Model(
        session, lambda canvas: to_sample(canvas.fitted(), 0.0, 1.0), read, batch_size(session, GPU_BATCH)
    )
    # On a GPU full squares only: every new shape would take more memory. A CPU computes only what the picture covers.
    gpu = on_gpu(session)
    return Detector(name, model, None, gpu, 1024 if gpu else 640, MIN_CONFIDENCE, CALIBRATION)


def read(outputs: Outputs) -> list[Detections]:
    """Returns the detections on each canvas of a batch, in pixels of the canvas."""
    return [_read_one(*maps) for maps in zip(*outputs, strict=True)]


def _read_one(heat: Points, scale: Points, offset: Points, landmarks: Points) -> Detections:
    rows, columns = np.nonzero(heat[0] > HINT_SCORE)
    height, width = np.exp(scale[:, rows, columns]) * STRIDE
    top = (rows + offset[0, rows, columns] + 0.5) * STRIDE - height / 2
    left = (columns + offset[1, rows, columns] + 0.5) * STRIDE - width / 2
    boxes = np.stack([left, top, left + width, top + height], 1).astype(np.float32)
    relative = landmarks[:, rows, columns].T.reshape(-1, 5, 2)  # y, x
    points = np.stack(
        [
            relative[:, :, 1] * width[:, None] + left[:, None],
            relative[:, :, 0] * height[:, None] + top[:, None],
        ],
        2,
    ).astype(np.float32)
    return non_maximum_suppression(boxes, heat[0, rows, columns], points, NMS_IOU)
