"""The SCRFD detector (Guo et al. 2021) of InsightFace's packs: anchors at strides 8, 16, 32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import structlog

from facecore.align import Points, to_sample
from facecore.detection.detector import HINT_SCORE, Canvas, Detections, Detector, non_maximum_suppression
from facecore.device import on_gpu
from facecore.model import Model, Outputs, batch_size

log = structlog.get_logger(__name__)

STRIDES = (8, 16, 32)
ANCHORS = 2
GPU_BATCH = 8
MEAN, STD = 127.5, 128.0
MIN_CONFIDENCE_CPU, MIN_CONFIDENCE_GPU = 0.7, 0.9
"""Defaults of the specification for these detectors."""
BATCH_TOLERANCE = 1e-3
"""Largest difference of an output between a batch and single pictures."""


def load(session: Any, name: str, max_iou: float) -> Detector:
    """Returns the detector.

    Args:
        session: takes (N, 3, H, W) and has nine outputs: scores, box distances and landmark distances, each at three
            strides.
        name: of the model file.
        max_iou: overlap of boxes above which non-maximum suppression drops one.

    Raises:
        ValueError: the detector has no landmarks or takes no square input.
    """
    if len(session.get_outputs()) != 3 * len(STRIDES):
        raise ValueError(
            f"{name} has {len(session.get_outputs())} outputs; a SCRFD with five landmarks has nine"
        )
    height, width = session.get_inputs()[0].shape[2:4]
    fixed = height if isinstance(height, int) else None
    if fixed is not None and (width != fixed or fixed % 32):
        raise ValueError(
            f"{name} takes {width}×{height} pixels; supported are squares whose side is a multiple of 32"
        )
    gpu = on_gpu(session)
    batch = batch_size(session, GPU_BATCH)
    if batch > 1 and not batches_like_singles(session, fixed or 320, batch):
        log.warning("batches differ from single pictures, running the detector one by one", detector=name)
        batch = 1
    model: Model[Canvas, Detections] = Model(
        session, lambda canvas: to_sample(canvas.fitted(), MEAN, STD), reader(max_iou, batch), batch
    )
    confidence = MIN_CONFIDENCE_GPU if gpu else MIN_CONFIDENCE_CPU
    return Detector(name, model, fixed, True, 1024 if gpu else 640, confidence, None)


def per_picture(outputs: Outputs, pictures: int) -> list[Points]:
    """Returns the outputs as (pictures, anchors, values).

    Newer exports have that shape. Older ones flatten (H·W, N, A) to rows, with the batch axis between the cells and
    the anchors of a cell, so that splitting the rows into N blocks would mix the pictures.
    """
    return [
        output
        if output.ndim == 3
        else output.reshape(-1, pictures, ANCHORS, output.shape[-1])
        .transpose(1, 0, 2, 3)
        .reshape(pictures, -1, output.shape[-1])
        for output in outputs
    ]


def batches_like_singles(session: Any, size: int, batch: int) -> bool:
    """Checks whether this file gives the same outputs for a batch of noise pictures as for each one alone."""
    samples = np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32)
    name = session.get_inputs()[0].name
    together = per_picture(session.run(None, {name: samples}), batch)
    for number in range(batch):
        alone = per_picture(session.run(None, {name: samples[number : number + 1]}), 1)
        for one, many in zip(alone, together, strict=True):
            if many.shape[1:] != one.shape[1:] or not np.allclose(one[0], many[number], atol=BATCH_TOLERANCE):
                return False
    return True


def reader(max_iou: float, batch: int) -> Callable[[Outputs], list[Detections]]:
    """Returns a function that decodes the outputs of ``batch`` square canvases."""

    def read(outputs: Outputs) -> list[Detections]:
        shaped = per_picture(outputs, batch)
        return [_read_one([output[n] for output in shaped], max_iou) for n in range(batch)]

    return read


def _read_one(outputs: list[Points], max_iou: float) -> Detections:
    boxes, scores, landmarks = [], [], []
    for level, stride in enumerate(STRIDES):
        score, distance, points = (outputs[level + kind * len(STRIDES)] for kind in range(3))
        side = round((len(score) / ANCHORS) ** 0.5)
        cell = np.flatnonzero(score[:, 0] > HINT_SCORE)
        row, column = np.divmod(cell // ANCHORS, side)
        center = np.stack([column, row], 1).astype(np.float32) * stride
        distance, points = distance[cell] * stride, points[cell].reshape(-1, 5, 2) * stride
        boxes.append(np.concatenate([center - distance[:, :2], center + distance[:, 2:]], 1))
        landmarks.append(center[:, None] + points)
        scores.append(score[cell, 0])
    return non_maximum_suppression(
        np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks), max_iou
    )
