"""Age, gender and emotion.

What the open pack's networks are worth on 58 photographs of 16 people (tests.eval.faces), and what is told therefore:
age is off by 5.3 years in the mean, always saying the median by 6.1: it is told. Gender is right in 83 % (always
saying the more frequent one: 69 %), and in all of the third where the value is beyond 0.8 or 0.2: in between nothing
is told. Emotion is right in 81 % where it has more than half of the probability and in 89 % from 0.7 on (always
saying happy: 63 %): below that nothing is told. Smiles are found; neutral faces are at times called sad or angry.
0.8 and 0.7 were chosen on the same photographs: others will show a little less.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from facecore.align import FaceInImage, Image, Points, crop, imagenet_sample, to_sample
from facecore.geometry import Box, squared, widened
from facecore.model import Model, Outputs, batch_size

Value = TypeVar("Value")

BATCH = 16
SSR_SIDE = 64
AGE_MARGIN, GENDER_MARGIN = 1.6, 1.4
"""Side of the square crop in longer sides of the box, where each network was best on photographs of known people."""
OLDEST = 101.0
"""Age in years that an SSR-Net's 1.0 stands for."""
NARROWEST = 1e-3
"""Least factor by which a stage may change the width of its bins; the network's own goes down to 0."""
EMOTION_SIDE, EMOTION_BATCH = 224, 4
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
EMOTION_SURE = 0.7
"""Probability below which no emotion is told."""
PORTRAIT_MARGIN = 1.5
"""Side of a portrait in longer sides of the box."""
PORTRAIT_SIDE = 256
"""Largest side of a portrait in pixels."""


def load_ssr(
    session: Any, margin: float, told: Callable[[float], Value], *, mirrored: bool
) -> Model[FaceInImage, Value]:
    """SSR-Net (Yang et al. 2018): three stages refine a value 0-1; outputs are the probabilities of three bins a
    stage, the stages' relative change of bin width, and the shift of each bin.

    Args:
        told: what the value means.
        mirrored: looks at the mirror image; the mean of both is better than either.
    """

    def prepare(face: FaceInImage) -> Points:
        picture = crop(face.image, squared(face.box, margin), SSR_SIDE)
        if mirrored:
            picture = picture[:, ::-1]
        return imagenet_sample(picture[:, :, ::-1])  # trained on blue-green-red

    return Model(
        session,
        prepare,
        lambda outputs: [told(value) for value in _read_ssr(outputs)],
        batch_size(session, BATCH),
    )


def _read_ssr(outputs: Outputs) -> list[float]:
    probabilities, widths, shifts = outputs[0:3], outputs[3:6], outputs[6:9]
    value = np.zeros(len(outputs[0]), np.float64)
    width = np.ones(len(outputs[0]), np.float64)
    for probability, change, shift in zip(probabilities, widths, shifts, strict=True):
        bins = probability.shape[1]
        width = width / (bins * np.maximum(1.0 + change.reshape(-1).astype(np.float64), NARROWEST))
        value += ((np.arange(bins) + shift) * probability).sum(1) * width
    return [float(v) for v in value]


def load_emotion(session: Any) -> Model[Image, str | None]:
    """Portraits → the most probable of `EMOTIONS`, None when it is not probable enough."""
    return Model(session, _emotion_sample, _read_emotion, batch_size(session, EMOTION_BATCH))


def portrait(image: Image, box: Box) -> Image:
    """The square around a face, at most 256 pixels: enough for what is looked at once a person."""
    around = squared(box, PORTRAIT_MARGIN)
    side = max(1, round(min(PORTRAIT_SIDE, around[2] - around[0])))
    return crop(image, around, side)


def _emotion_sample(picture: Image) -> Points:
    """The face's own square out of its portrait."""
    height, width = picture.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    return to_sample(crop(picture, widened(whole, 1.0 / PORTRAIT_MARGIN), EMOTION_SIDE), 0.0, 255.0)


def _read_emotion(outputs: Outputs) -> list[str | None]:
    odds = np.exp(outputs[0] - outputs[0].max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    return [EMOTIONS[int(row.argmax())] if row.max() >= EMOTION_SURE else None for row in odds]
