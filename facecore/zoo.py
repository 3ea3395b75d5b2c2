"""Loads InsightFace's packs, and any directory of such model files, with InsightFace's own model zoo."""

from pathlib import Path
from typing import Any

import numpy as np
import structlog
from insightface import model_zoo
from insightface.data import get_object
from insightface.utils import face_align, transform
from numpy.typing import NDArray

from facecore import embedding
from facecore.align import ALIGNED_SIDE, FaceInImage, Points, to_sample
from facecore.attributes import FaceAttributes
from facecore.detection import scrfd
from facecore.device import Device, check_session, session_options
from facecore.model import Model, Outputs, batch_size
from facecore.packs import Pack
from facecore.portraits import FaceInPortrait
from models.fetch import ModelsUnavailable
from schemas.observations import Angles
from schemas.vectors import DIMENSIONS

log = structlog.get_logger(__name__)

GPU_BATCH = 16
CROP_SCALE = 1.5
"""Side of the crop, in longer sides of the box, for InsightFace's landmark and attribute networks."""
POSE_LANDMARKS = 68
ROLES = {
    "detection": "detector",
    "recognition": "embedding",
    "landmark_3d_68": "pose",
    "genderage": "age, gender",
}
"""Task name in InsightFace's model zoo → role; the first two are required."""


def load_insightface(name: str, directory: Path, device: Device) -> Pack:
    """Loads the pack in a directory: the models that the zoo recognises as detector and embedder and, if present, the
    networks for 68 3-D landmarks (pose) and for gender and age. Other files are ignored.

    Raises:
        ModelsUnavailable: there is no detector with landmarks or no embedder, or a file cannot be opened.
        DeviceUnavailable: as `check_session`.
    """
    found: dict[str, Any] = {}
    for file in sorted(directory.glob("*.onnx")):
        model = _open(file, device)
        task = getattr(model, "taskname", None)
        if task in ROLES and task not in found:
            found[task] = model
        elif task in ROLES:
            log.warning("several models for one task, using the first", task=task, ignored=file.name)
    if missing := [role for task, role in list(ROLES.items())[:2] if task not in found]:
        raise ModelsUnavailable(
            f"model pack {name!r}: no {' and no '.join(missing)} among {directory}/*.onnx"
        )
    files = {ROLES[task]: Path(model.model_file).name for task, model in found.items()}
    detector, embedder = found["detection"], found["recognition"]
    if embedder.input_size != (ALIGNED_SIDE, ALIGNED_SIDE) or embedder.output_shape[-1] != DIMENSIONS:
        raise ModelsUnavailable(
            f"model pack {name!r}: {files['embedding']} takes {embedder.input_size} pixels and outputs "
            f"{embedder.output_shape[-1]} numbers; required are 112×112 pixels and 512 numbers"
        )
    try:
        detection = scrfd.load(detector.session, Path(detector.model_file).stem, detector.nms_thresh)
    except ValueError as error:
        raise ModelsUnavailable(f"model pack {name!r}: {error}") from error
    return Pack(
        name=name,
        detector=detection,
        embedder=embedding.load(embedder.session, embedder.input_mean, embedder.input_std),
        pose=_pose(found["landmark_3d_68"]) if "landmark_3d_68" in found else None,
        attributes=(_age_and_gender(found["genderage"]),) if "genderage" in found else (),
        emotion=None,
        files={role: directory / file for role, file in files.items()},
    )


def _open(file: Path, device: Device) -> Any:
    providers = device.providers(file)
    try:
        model = model_zoo.get_model(str(file), providers=providers, sess_options=session_options())
    except Exception as error:  # ONNX Runtime, onnx and the zoo have many exception classes for bad files
        raise ModelsUnavailable(f"{file} cannot be opened: {error}") from error
    if model is not None:
        check_session(model.session, device)
    return model


def _crop(model: Any, face: FaceInImage | FaceInPortrait) -> Points:
    """Cuts out the face as InsightFace's classes Landmark and Attribute do."""
    x_min, y_min, x_max, y_max = face.box
    side = model.input_size[0]
    center = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    scale = side / (max(x_max - x_min, y_max - y_min) * CROP_SCALE)
    picture, _ = face_align.transform(face.image, center, side, scale, 0)
    return to_sample(picture, model.input_mean, model.input_std)


def _pose(model: Any) -> Model[FaceInImage, Angles]:
    """Estimates the pose from 68 3-D landmarks, the last of the network's points."""
    mean = get_object("meanshape_68.pkl")

    def read(outputs: Outputs) -> list[Angles]:
        faces = outputs[0].reshape(len(outputs[0]), -1, 3)
        return [angles_of(points[-POSE_LANDMARKS:], mean) for points in faces]

    return Model(model.session, lambda face: _crop(model, face), read, batch_size(model.session, GPU_BATCH))


def angles_of(points: NDArray[Any], mean: NDArray[Any]) -> Angles:
    """Returns the rotation of the affine transform from the mean face to the points, (68, 3) each.

    The signs of InsightFace's angles are those of `facecore.pose`.
    """
    matrix = transform.estimate_affine_matrix_3d23d(mean, points)
    pitch, yaw, roll = transform.matrix2angle(transform.P2sRt(matrix)[1])
    return Angles(float(yaw), float(pitch), float(roll))


def _age_and_gender(model: Any) -> Model[FaceInPortrait, FaceAttributes]:
    def read(outputs: Outputs) -> list[FaceAttributes]:
        female, male, age = outputs[0].astype(np.float64).T
        odds = 1.0 / (1.0 + np.exp(np.clip(female - male, -60.0, 60.0)))
        return [FaceAttributes(age=float(a) * 100.0, male=float(p)) for a, p in zip(age, odds, strict=True)]

    return Model(model.session, lambda face: _crop(model, face), read, batch_size(model.session, GPU_BATCH))
