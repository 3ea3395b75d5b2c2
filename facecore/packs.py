"""A model pack in memory, and loading the open pack."""

from dataclasses import dataclass
from pathlib import Path

from facecore import attributes, embedding, pose
from facecore.align import FaceInImage, Image, Points
from facecore.attributes import FaceAttributes
from facecore.detection import centerface
from facecore.detection.detector import Detector
from facecore.device import Device, open_session
from facecore.model import Model
from facecore.portraits import FaceInPortrait
from models.catalog import OPEN_PACK
from schemas.observations import Angles


@dataclass(frozen=True, slots=True)
class Pack:
    """The loaded models of a pack by role; None where the pack has no model for a role.

    Attributes:
        attributes: models that each estimate some attributes; several estimates of one attribute are averaged.
        files: role → model file.
    """

    name: str
    detector: Detector
    embedder: Model[FaceInImage, Points]
    pose: Model[FaceInImage, Angles] | None
    attributes: tuple[Model[FaceInPortrait, FaceAttributes], ...]
    emotion: Model[Image, str | None] | None
    files: dict[str, Path]


def load_open(name: str, directory: Path, device: Device) -> Pack:
    """Loads the open pack from a directory prepared by `models.fetch`.

    Raises:
        DeviceUnavailable, ModelsUnavailable: as `open_session`.
    """
    files = {file.role: directory / file.file for file in OPEN_PACK}
    sessions = {role: open_session(file, device) for role, file in files.items()}
    return Pack(
        name=name,
        detector=centerface.load(sessions["detector"], files["detector"].stem),
        embedder=embedding.load(sessions["embedding"], mean=127.0, std=128.0),
        pose=pose.load_hopenet(sessions["pose"]),
        attributes=tuple(load(sessions[role]) for role, load in attributes.ATTRIBUTE_LOADERS.items()),
        emotion=attributes.load_emotion(sessions["emotion"]),
        files=files,
    )
