"""Face embedding networks: 512 numbers for an aligned face."""

from typing import Any

import numpy as np

from facecore.align import FaceInImage, Points, aligned, to_sample
from facecore.model import Model, Outputs, batch_size
from schemas.vectors import DIMENSIONS

GPU_BATCH = 16


def load(session: Any, mean: float, std: float) -> Model[FaceInImage, Points]:
    """Returns a model from faces to embeddings: 512 float32, not normalised; a longer vector means a surer network.

    Args:
        mean, std: normalisation of the input, RGB ``(value - mean) / std``.
    """

    def prepare(face: FaceInImage) -> Points:
        return to_sample(aligned(face), mean, std)

    return Model(session, prepare, _read, batch_size(session, GPU_BATCH))


def _read(outputs: Outputs) -> list[Points]:
    return list(np.ascontiguousarray(outputs[0], np.float32).reshape(-1, DIMENSIONS))
