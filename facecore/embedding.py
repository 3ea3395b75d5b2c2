"""512-D embeddings of aligned faces."""

from typing import Any

import numpy as np

from facecore.align import FaceInImage, Points, aligned, to_sample
from facecore.model import Model, Outputs, batch_size
from schemas.vectors import DIMENSIONS

BATCH = 16


def load(session: Any, mean: float, std: float) -> Model[FaceInImage, Points]:
    """Faces → embeddings, 512 float32, not normalised: their length tells how sure the network is.

    Args:
        mean, std: the network takes RGB ``(value - mean) / std``.
    """

    def prepare(face: FaceInImage) -> Points:
        return to_sample(aligned(face), mean, std)

    return Model(session, prepare, _read, batch_size(session, BATCH))


def _read(outputs: Outputs) -> list[Points]:
    return list(np.ascontiguousarray(outputs[0], np.float32).reshape(-1, DIMENSIONS))
