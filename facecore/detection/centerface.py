"""The CenterFace detector (Xu et al. 2019): a heat map of face centres with size, offset and landmarks at each."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facecore.align import Points
from facecore.detection.detector import (
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
        session: a graph as `models.centerface.rewrite` writes it.
        name: of the model file.
    """
    batch = batch_size(session, GPU_BATCH)
    model: Model[Canvas, Detections] = Model(session, Canvas.fitted, reader(batch), batch)
    # On a GPU full squares only: every new shape would take more memory. A CPU computes only what the picture covers.
    gpu = on_gpu(session)
    return Detector(name, model, None, gpu, 1024 if gpu else 640, MIN_CONFIDENCE, CALIBRATION)


def reader(batch: int) -> Callable[[Outputs], list[Detections]]:
    """Returns a function that decodes the candidates of ``batch`` canvases, into pixels of their canvas."""

    def read(outputs: Outputs) -> list[Detections]:
        places, scores, regressions = outputs
        of = [places[:, 0] == number for number in range(batch)]
        return [_read_one(places[one, 1:], scores[one], regressions[one]) for one in of]

    return read


def _read_one(places: NDArray[np.int64], scores: Points, regressions: Points) -> Detections:
    (rows, columns), (height, width) = places.T, np.exp(regressions[:, :2].T) * STRIDE
    top = (rows + regressions[:, 2] + 0.5) * STRIDE - height / 2
    left = (columns + regressions[:, 3] + 0.5) * STRIDE - width / 2
    boxes = np.stack([left, top, left + width, top + height], 1).astype(np.float32)
    relative = regressions[:, 4:].reshape(-1, 5, 2)  # y, x
    points = np.stack(
        [
            relative[:, :, 1] * width[:, None] + left[:, None],
            relative[:, :, 0] * height[:, None] + top[:, None],
        ],
        2,
    ).astype(np.float32)
    return non_maximum_suppression(boxes, scores, points, NMS_IOU)
