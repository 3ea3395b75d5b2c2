"""Age, gender and emotion of a face.

How good the open pack's networks are (tests.eval.demographics, tests.eval.faces), and what is reported therefore:

- Age: mean error 4.2 years on photographs of people who were not used to choose anything; a constant guess of the
  median: 10.1. Always reported, with a range.
- Gender: right wherever it is given, which is for 97 % of the photographs and 71 % of the faces in films. It is
  reported from a probability of 0.8 on.
- Emotion: 81 % right above a probability of 0.5, 89 % from 0.7 on; always "happy": 63 %. It is reported from 0.7 on.
  Smiles are found; neutral faces are sometimes called sad or angry.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from facecore.align import Image, Points, crop, to_sample
from facecore.geometry import widened
from facecore.model import Model, Outputs, batch_size
from facecore.portraits import PORTRAIT_SCALE, FaceInPortrait
from schemas.results import Demographics

GPU_BATCH = 16
FACERES_SIDE = 224
FACERES_BOX_SCALE = 1.2
"""Sides of the crop in sides of the box. The crop is stretched to a square, as the faces of the training were."""
FACERES_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
"""Of blue, green and red."""
FACERES_YOUNGEST_YEARS = 1
"""Age that the network's first output stands for; each further one stands for one year more."""
AGE_LOW, AGE_HIGH = 0.2, 0.8
"""Ends of the range of ages, as quantiles of the network's distribution, which is wider than its errors are."""
GENDER_MIN_PROBABILITY = 0.8
"""Gender is reported from this mean probability over a person's best shots on."""
EMOTION_SIDE, EMOTION_GPU_BATCH = 224, 4
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
EMOTION_MIN_PROBABILITY = 0.7
"""Emotions of lower probability are not reported."""


class FaceAttributes(NamedTuple):
    """What attribute models estimate of one face. None: no model estimates it.

    Attributes:
        age: years.
        age_low, age_high: years; about four of five ages are between them.
        male: probability that the person is a man, 0-1.
    """

    age: float | None = None
    age_low: float | None = None
    age_high: float | None = None
    male: float | None = None


DECIMALS = {"age": 2, "age_low": 2, "age_high": 2, "male": 4}
"""Decimal places to which each attribute is rounded."""


def combined(estimates: Sequence[FaceAttributes]) -> FaceAttributes:
    """Returns the mean of each attribute over the models that estimate it, rounded to `DECIMALS`."""
    means = {}
    for name, decimals in DECIMALS.items():
        values = [value for estimate in estimates if (value := getattr(estimate, name)) is not None]
        means[name] = round(sum(values) / len(values), decimals) if values else None
    return FaceAttributes(**means)


def of_person(estimates: Sequence[tuple[FaceAttributes, float]]) -> Demographics:
    """Returns age and gender of a person from the estimates of some faces, each with its weight: ages by the median,
    gender by the mean."""
    return Demographics(
        age=_median_age((face.age, weight) for face, weight in estimates),
        age_low=_median_age((face.age_low, weight) for face, weight in estimates),
        age_high=_median_age((face.age_high, weight) for face, weight in estimates),
        gender=_gender([(face.male, weight) for face, weight in estimates if face.male is not None]),
    )


def _median_age(estimates: Iterable[tuple[float | None, float]]) -> int | None:
    """Returns the weighted median of the estimates in whole years."""
    ordered = sorted((age, weight) for age, weight in estimates if age is not None)
    half = sum(weight for _, weight in ordered) / 2
    below = 0.0
    for age, weight in ordered:
        below += weight
        if below >= half:
            return round(age)
    return None


def _gender(values: Sequence[tuple[float, float]]) -> Literal["M", "F"] | None:
    weights = sum(weight for _, weight in values)
    if not weights:
        return None
    male = sum(value * weight for value, weight in values) / weights
    if male >= GENDER_MIN_PROBABILITY:
        return "M"
    return "F" if male <= 1 - GENDER_MIN_PROBABILITY else None


def load_age_and_gender(session: Any) -> Model[FaceInPortrait, FaceAttributes]:
    """Returns the model of HSE-FaceRes (Savchenko 2019), fed as it was trained: faces stretched to a square, blue-
    green-red, without the mean of the colours."""

    def prepare(face: FaceInPortrait) -> Points:
        picture = crop(face.image, widened(face.box, FACERES_BOX_SCALE), FACERES_SIDE)
        return to_sample(picture[:, :, ::-1], FACERES_MEAN, 1.0)

    def read(outputs: Outputs) -> list[FaceAttributes]:
        males, _, ages = outputs  # the second one is an embedding
        return [_estimate(odds, float(male)) for odds, male in zip(ages, males[:, 0], strict=True)]

    return Model(session, prepare, read, batch_size(session, GPU_BATCH))


ATTRIBUTE_LOADERS = {"age, gender": load_age_and_gender}
"""Role in `models.catalog.OPEN_PACK` → function that makes a model of an open session."""


def _estimate(odds: Points, male: float) -> FaceAttributes:
    """Reads the quantiles of a distribution over years of age; a year is spread over the months around it."""
    below = np.concatenate([[0.0], np.cumsum(odds, dtype=np.float64)])
    ends = FACERES_YOUNGEST_YEARS - 0.5 + np.arange(len(below))
    low, age, high = (float(years) for years in np.interp((AGE_LOW, 0.5, AGE_HIGH), below / below[-1], ends))
    return FaceAttributes(age, low, high, min(1.0, max(0.0, male)))


def load_emotion(session: Any) -> Model[Image, str | None]:
    """Returns a model from portraits to the most probable of `EMOTIONS`; None below `EMOTION_MIN_PROBABILITY`."""
    return Model(session, _emotion_sample, _read_emotion, batch_size(session, EMOTION_GPU_BATCH))


def _emotion_sample(picture: Image) -> Points:
    """Cuts the face's own square out of its portrait."""
    height, width = picture.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    return to_sample(crop(picture, widened(whole, 1.0 / PORTRAIT_SCALE), EMOTION_SIDE), 0.0, 255.0)


def _read_emotion(outputs: Outputs) -> list[str | None]:
    odds = np.exp(outputs[0] - outputs[0].max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    return [EMOTIONS[int(row.argmax())] if row.max() >= EMOTION_MIN_PROBABILITY else None for row in odds]
