"""Age, gender and emotion of a face.

How good the open pack's networks are, on 58 photographs of 16 people (tests.eval.faces), and what is reported
therefore:

- Age: mean error 5.5 years; a constant guess of the median: 6.1. Always reported.
- Gender: 83 % right; a constant guess: 69 %. All of the third with a probability above 0.8 or below 0.2 are right, so
  gender is reported only there.
- Emotion: 81 % right above a probability of 0.5, 89 % from 0.7 on; always "happy": 63 %. It is reported from 0.7 on.
  Smiles are found; neutral faces are sometimes called sad or angry.

0.8 and 0.7 were chosen on the same photographs: expect slightly less on others.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from facecore.align import FaceInImage, Image, Points, crop, imagenet_sample, to_sample
from facecore.geometry import Box, squared, widened
from facecore.model import Model, Outputs, batch_size

GPU_BATCH = 16
SSR_SIDE = 64
AGE_CROP_SCALE, GENDER_CROP_SCALE = 1.6, 1.4
"""Side of the square crop in longer sides of the box; each the best of several on photographs of known people."""
SSR_AGE_RANGE_YEARS = 101.0
"""Age that an SSR-Net's output of 1.0 means."""
SSR_MIN_WIDTH_CHANGE = 1e-3
"""Lower limit of the factor by which a stage changes the width of its bins; the network's own goes down to 0."""
EMOTION_SIDE, EMOTION_GPU_BATCH = 224, 4
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
EMOTION_MIN_PROBABILITY = 0.7
"""Emotions of lower probability are not reported."""
PORTRAIT_SCALE = 1.5
"""Side of a portrait in longer sides of the box."""
PORTRAIT_MAX_SIDE = 256
"""Pixels."""


class FaceAttributes(NamedTuple):
    """What attribute models estimate of one face; named as in `ObservedFace`. None: no model estimates it.

    Attributes:
        age: years.
        male: probability that the person is a man, 0-1.
    """

    age: float | None = None
    male: float | None = None


DECIMALS = {"age": 2, "male": 4}
"""Decimal places to which each attribute is rounded."""


def combined(estimates: Sequence[FaceAttributes]) -> FaceAttributes:
    """Returns the mean of each attribute over the models that estimate it, rounded to `DECIMALS`."""
    means = {}
    for name, decimals in DECIMALS.items():
        values = [value for estimate in estimates if (value := getattr(estimate, name)) is not None]
        means[name] = round(sum(values) / len(values), decimals) if values else None
    return FaceAttributes(**means)


def load_age(session: Any) -> tuple[Model[FaceInImage, FaceAttributes], ...]:
    """Returns the age network, for the face and for its mirror image: the mean of both is better than either."""

    def read(outputs: Outputs) -> list[FaceAttributes]:
        return [FaceAttributes(age=value * SSR_AGE_RANGE_YEARS) for value in _read_ssr(outputs)]

    return tuple(_ssr(session, AGE_CROP_SCALE, read, mirrored=mirrored) for mirrored in (False, True))


def load_gender(session: Any) -> tuple[Model[FaceInImage, FaceAttributes], ...]:
    """Returns the gender network, for the face and for its mirror image."""

    def read(outputs: Outputs) -> list[FaceAttributes]:
        return [FaceAttributes(male=min(1.0, max(0.0, value))) for value in _read_ssr(outputs)]

    return tuple(_ssr(session, GENDER_CROP_SCALE, read, mirrored=mirrored) for mirrored in (False, True))


ATTRIBUTE_LOADERS = {"age": load_age, "gender": load_gender}
"""Role in `models.catalog.OPEN_PACK` → function that makes models of an open session."""


def _ssr(
    session: Any, scale: float, read: Callable[[Outputs], list[FaceAttributes]], *, mirrored: bool
) -> Model[FaceInImage, FaceAttributes]:
    def prepare(face: FaceInImage) -> Points:
        picture = crop(face.image, squared(face.box, scale), SSR_SIDE)
        if mirrored:
            picture = picture[:, ::-1]
        return imagenet_sample(picture[:, :, ::-1])  # these networks were trained on BGR

    return Model(session, prepare, read, batch_size(session, GPU_BATCH))


def _read_ssr(outputs: Outputs) -> list[float]:
    """Decodes soft stagewise regression (SSR-Net, Yang et al. 2018, section 3): three stages refine a value 0-1.

    Outputs are, for three stages each, the probabilities of three bins, the relative change of the bins' width and
    the shift of each bin.
    """
    probabilities, widths, shifts = outputs[0:3], outputs[3:6], outputs[6:9]
    value = np.zeros(len(outputs[0]), np.float64)
    width = np.ones(len(outputs[0]), np.float64)
    for probability, change, shift in zip(probabilities, widths, shifts, strict=True):
        bins = probability.shape[1]
        width = width / (bins * np.maximum(1.0 + change.reshape(-1).astype(np.float64), SSR_MIN_WIDTH_CHANGE))
        value += ((np.arange(bins) + shift) * probability).sum(1) * width
    return [float(v) for v in value]


def load_emotion(session: Any) -> Model[Image, str | None]:
    """Returns a model from portraits to the most probable of `EMOTIONS`; None below `EMOTION_MIN_PROBABILITY`."""
    return Model(session, _emotion_sample, _read_emotion, batch_size(session, EMOTION_GPU_BATCH))


def portrait(image: Image, box: Box) -> Image:
    """Cuts out the square around a face, at most 256 pixels a side, BGR."""
    around = squared(box, PORTRAIT_SCALE)
    side = max(1, round(min(PORTRAIT_MAX_SIDE, around[2] - around[0])))
    return crop(image, around, side, plain=True)


def _emotion_sample(picture: Image) -> Points:
    """Cuts the face's own square out of its portrait."""
    height, width = picture.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    return to_sample(crop(picture, widened(whole, 1.0 / PORTRAIT_SCALE), EMOTION_SIDE), 0.0, 255.0)


def _read_emotion(outputs: Outputs) -> list[str | None]:
    odds = np.exp(outputs[0] - outputs[0].max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    return [EMOTIONS[int(row.argmax())] if row.max() >= EMOTION_MIN_PROBABILITY else None for row in odds]
