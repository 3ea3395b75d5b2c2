"""InsightFace's packs, opened by InsightFace's own model zoo; any directory of such files is a pack."""

from pathlib import Path
from typing import Any

import numpy as np
import structlog
from insightface import model_zoo
from insightface.data import get_object
from insightface.utils import face_align, transform
from numpy.typing import NDArray

from facecore import embedding
from facecore.align import ALIGNED, FaceInImage, Points, to_sample
from facecore.detection import scrfd
from facecore.device import Device, check_session, session_options
from facecore.model import Model, Outputs, batch_size
from facecore.packs import Demographics, Pack
from models.fetch import ModelsUnavailable
from schemas.observations import Angles
from schemas.vectors import DIMENSIONS

log = structlog.get_logger(__name__)

BATCH = 16
MARGIN = 1.5
"""Side of the crop, in longer sides of the box, that InsightFace's landmark and attribute networks take."""
POSE_LANDMARKS = 68
ROLES = {
    "detection": "detector",
    "recognition": "embedding",
    "landmark_3d_68": "pose",
    "genderage": "age, gender",
}


def load_insightface(name: str, directory: Path, device: Device) -> Pack:
    """The pack in a directory: what the zoo recognises as detector and embedder, and, if there, the networks for
    68 landmarks in space (pose) and for gender and age. Other files are left alone.

    Raises:
        ModelsUnavailable: no detector with landmarks or no embedder, or a file that cannot be opened.
    """
    found: dict[str, Any] = {}
    for file in sorted(directory.glob("*.onnx")):
        model = _open(file, device)
        task = getattr(model, "taskname", None)
        if task in ROLES and task not in found:
            found[task] = model
        elif task in ROLES:
            log.warning("more than one model for a task, using the first", task=task, ignored=file.name)
    if missing := [role for task, role in list(ROLES.items())[:2] if task not in found]:
        raise ModelsUnavailable(
            f"model pack {name!r}: no {' and no '.join(missing)} among {directory}/*.onnx"
        )
    files = {ROLES[task]: Path(model.model_file).name for task, model in found.items()}
    detector, embedder = found["detection"], found["recognition"]
    if embedder.input_size != (ALIGNED, ALIGNED) or embedder.output_shape[-1] != DIMENSIONS:
        raise ModelsUnavailable(
            f"model pack {name!r}: {files['embedding']} turns {embedder.input_size} pixels into "
            f"{embedder.output_shape[-1]} numbers; needed are 112×112 pixels and 512"
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
        demographics=(_demographics(found["genderage"]),) if "genderage" in found else (),
        emotion=None,
        files={role: directory / file for role, file in files.items()},
    )


def _open(file: Path, device: Device) -> Any:
    providers = device.providers(file)
    try:
        model = model_zoo.get_model(str(file), providers=providers, sess_options=session_options())
    except (
        Exception
    ) as error:  # whatever ONNX Runtime, onnx or the zoo find wrong with a file: told with its name
        raise ModelsUnavailable(f"{file} cannot be opened: {error}") from error
    if model is not None:
        check_session(model.session, device)
    return model


def _crop(model: Any, face: FaceInImage) -> Points:
    """As InsightFace's Landmark and Attribute cut it."""
    x_min, y_min, x_max, y_max = face.box
    side = model.input_size[0]
    center = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    scale = side / (max(x_max - x_min, y_max - y_min) * MARGIN)
    picture, _ = face_align.transform(face.image, center, side, scale, 0)
    return to_sample(picture, model.input_mean, model.input_std)


def _pose(model: Any) -> Model[FaceInImage, Angles]:
    """From 68 landmarks in space, the last of the network's points."""
    mean = get_object("meanshape_68.pkl")

    def read(outputs: Outputs) -> list[Angles]:
        faces = outputs[0].reshape(len(outputs[0]), -1, 3)
        return [angles_of(points[-POSE_LANDMARKS:], mean) for points in faces]

    return Model(model.session, lambda face: _crop(model, face), read, batch_size(model.session, BATCH))


def angles_of(points: NDArray[Any], mean: NDArray[Any]) -> Angles:
    """How the mean face is turned to lie on the points, (68, 3) each; the zoo's signs are this project's."""
    matrix = transform.estimate_affine_matrix_3d23d(mean, points)
    pitch, yaw, roll = transform.matrix2angle(transform.P2sRt(matrix)[1])
    return Angles(float(yaw), float(pitch), float(roll))


def _demographics(model: Any) -> Model[FaceInImage, Demographics]:
    def read(outputs: Outputs) -> list[Demographics]:
        female, male, age = outputs[0].astype(np.float64).T
        odds = 1.0 / (1.0 + np.exp(np.clip(female - male, -60.0, 60.0)))
        return [Demographics(float(a) * 100.0, float(p)) for a, p in zip(age, odds, strict=True)]

    return Model(model.session, lambda face: _crop(model, face), read, batch_size(model.session, BATCH))
