"""The models of a pack, and the open pack's."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from facecore import attributes, embedding, pose
from facecore.align import FaceInImage, Image, Points
from facecore.detection import centerface
from facecore.detection.detector import Detector
from facecore.device import Device, open_session
from facecore.model import Model
from schemas.observations import Angles


class Demographics(NamedTuple):
    """Age in years and probability of being a man; None: not told by this model."""

    age: float | None
    male: float | None


@dataclass(frozen=True, slots=True)
class Pack:
    """The models of a pack; None where it has none for a role.

    Attributes:
        demographics: models that each tell age, gender or both; what several tell is averaged.
        files: role → file.
    """

    name: str
    detector: Detector
    embedder: Model[FaceInImage, Points]
    pose: Model[FaceInImage, Angles] | None
    demographics: tuple[Model[FaceInImage, Demographics], ...]
    emotion: Model[Image, str | None] | None
    files: dict[str, Path]


def load_open(name: str, directory: Path, device: Device) -> Pack:
    """The open pack, as models.fetch prepares it."""
    files = {
        "detector": directory / "centerface.onnx",
        "embedding": directory / "fr_feature.onnx",
        "pose": directory / "fr_pose.onnx",
        "age": directory / "fr_age.onnx",
        "gender": directory / "fr_gender.onnx",
        "emotion": directory / "fr_expression.onnx",
    }
    sessions = {role: open_session(file, device) for role, file in files.items()}
    age, gender = sessions["age"], sessions["gender"]
    return Pack(
        name=name,
        detector=centerface.load(sessions["detector"], files["detector"].stem),
        embedder=embedding.load(sessions["embedding"], mean=127.0, std=128.0),
        pose=pose.load_hopenet(sessions["pose"]),
        demographics=(
            *(attributes.load_ssr(age, attributes.AGE_MARGIN, _age, mirrored=m) for m in (False, True)),
            *(
                attributes.load_ssr(gender, attributes.GENDER_MARGIN, _male, mirrored=m)
                for m in (False, True)
            ),
        ),
        emotion=attributes.load_emotion(sessions["emotion"]),
        files=files,
    )


def _age(value: float) -> Demographics:
    return Demographics(age=value * attributes.OLDEST, male=None)


def _male(value: float) -> Demographics:
    return Demographics(age=None, male=min(1.0, max(0.0, value)))
