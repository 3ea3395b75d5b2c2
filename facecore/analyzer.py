"""Frames in, faces out: every model of a pack over a batch of frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import structlog

from facecore import attributes, occlusion, sharpness
from facecore.align import ARCFACE_TEMPLATE, FaceInImage, Image, Points
from facecore.detection.detector import Detections
from facecore.device import (
    Device,
    TensorRT,
    check_distributions,
    choose_device,
    on_gpu,
    open_session,
    trim_heap,
)
from facecore.geometry import Box, clipped
from facecore.model import Model, Workers
from facecore.packs import Demographics, Pack, load_open
from facecore.pose import from_landmarks
from facecore.quality import occlusion_score, pose_score, size_score
from facecore.vectors import to_bytes
from models.archives import sha256_of
from models.catalog import OPEN
from models.fetch import ensure, find_extra
from schemas.observations import Angles, FrameFaces, ObservedFace, Provenance, QualityScore

log = structlog.get_logger(__name__)


class FrameInput(NamedTuple):
    """A frame to look at.

    Attributes:
        index: number of the sample in its job.
        timestamp: seconds from the start of the video.
        image: (H, W, 3) bytes, BGR.
        min_confidence: 0-1; None: the pack's own. Below detector.FLOOR nothing is a detection.
        demographics: whether age and gender are wanted.
    """

    index: int  # type: ignore[assignment]
    timestamp: float
    image: Image
    min_confidence: float | None
    demographics: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What an analyzer works with: providers as the sessions tell them, models by role as ``name@hash`` (the first
    digits of the file's SHA-256), and beside them the sides of the detector's input."""

    pack: str
    providers: tuple[str, ...]
    models: dict[str, str]
    min_confidence: float


class _Seen(NamedTuple):
    """A detection above the threshold, and the frame it belongs to."""

    frame: int
    score: float
    box: Box  # within the picture
    face: FaceInImage


class Analyzer:
    """Holds one set of sessions; one caller at a time."""

    def __init__(self, pack: Pack, models_path: Path, device: Device, threads: int) -> None:
        """Use `load`."""
        self._pack = pack
        self._workers = Workers(threads)
        files = dict(pack.files)
        self._occlusion: Model[FaceInImage, float] | None = None
        if file := find_extra("occlusion", models_path):
            self._occlusion = occlusion.load(open_session(file, device))
            files["occlusion"] = file
        self._sharpness: Model[FaceInImage, float] | None = None
        method = "sobel"
        if file := find_extra("sharpness", models_path):
            method, side = sharpness.METHODS[file.name]
            self._sharpness = sharpness.load(open_session(file, device), side)
            files["sharpness"] = file
        models = {role: f"{path.stem}@{sha256_of(path)[:8]}" for role, path in files.items()}
        told = {"detector_sizes": ", ".join(map(str, pack.detector.sizes))}
        if self._sharpness is None:
            told["sharpness"] = method
        self._description = Description(
            pack=pack.name,
            providers=self._providers(),
            models=models | told,
            min_confidence=pack.detector.min_confidence,
        )
        self._provenance = Provenance(
            pack=pack.name,
            detector=models["detector"],
            embedder=models["embedding"],
            providers=self._description.providers,
            sharpness=method,
            occlusion=models.get("occlusion"),
            min_confidence=pack.detector.min_confidence,
        )

    @classmethod
    def load(
        cls,
        pack: str,
        models_path: Path,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        tensorrt: TensorRT | None = None,
        threads: int = 1,
    ) -> "Analyzer":
        """Opens a pack, fetching it first when it is not there; blocks for seconds.

        Args:
            models_path: the directory of models (INSIGHTFACE_MODELS_CACHE).
            tensorrt: to run on, where there is a GPU.
            threads: how many models run side by side.

        Raises:
            ModelsUnavailable: the pack cannot be had or opened.
            DeviceUnavailable: CUDA or TensorRT was asked for and cannot be used, or the environment is not clean.
        """
        check_distributions()
        chosen = choose_device(device, tensorrt)
        directory = ensure(pack, models_path)
        if pack == OPEN:
            opened = load_open(pack, directory, chosen)
        else:
            from facecore.zoo import load_insightface  # the package takes a second to import

            opened = load_insightface(pack, directory, chosen)
        analyzer = cls(opened, models_path, chosen, threads)
        if on_gpu(opened.detector.model.session):
            analyzer._warm_up()
        trim_heap()
        log.info("models loaded", pack=pack, providers=analyzer.describe().providers, threads=threads)
        return analyzer

    def describe(self) -> Description:
        return self._description

    def analyze(self, frames: Sequence[FrameInput]) -> list[FrameFaces]:
        """The faces of each frame, highest score first; a frame's answer does not depend on the others."""
        detections = self._pack.detector.detect([frame.image for frame in frames], self._workers)
        seen: list[_Seen] = []
        low = []
        for number, (frame, found) in enumerate(zip(frames, detections, strict=True)):
            confident = found.scores >= self._threshold(frame)
            low.append(int((~confident).sum()))
            seen += _seen(number, frame.image, found, int(confident.sum()))
        faces = self._look(seen, [frames[face.frame].demographics for face in seen])
        by_frame: list[list[ObservedFace]] = [[] for _ in frames]
        for one, face in zip(seen, faces, strict=True):
            by_frame[one.frame].append(face)
        return [
            FrameFaces(
                index=frame.index,
                timestamp=frame.timestamp,
                width=frame.image.shape[1],
                height=frame.image.shape[0],
                faces=tuple(by_frame[number]),
                detector_size=self._pack.detector.size_for(frame.image),
                low_confidence=low[number],
                provenance=self._provenance_at(self._threshold(frame)),
            )
            for number, frame in enumerate(frames)
        ]

    def portrait(self, image: Image, face: ObservedFace) -> Image:
        """The square around a face, at most 256 pixels, BGR: kept for what is looked at once a person."""
        return attributes.portrait(image, face.box)

    def emotions(self, portraits: Sequence[Image]) -> list[str | None]:
        """One of attributes.EMOTIONS for each portrait; None when the pack has no model for it."""
        if self._pack.emotion is None:
            return [None] * len(portraits)
        return [*self._workers.start(self._pack.emotion, portraits)()]

    def close(self) -> None:
        self._workers.close()

    def _warm_up(self) -> None:
        """Runs everything once on black squares: kernels are chosen and memory is taken before the first job."""
        squares = [np.zeros((side, side, 3), np.uint8) for side in (320, 640, 1600)]
        self.analyze([FrameInput(0, 0.0, square, None, True) for square in squares])
        face = FaceInImage(squares[0], (80.0, 80.0, 240.0, 240.0), ARCFACE_TEMPLATE + 100)
        self._look([_Seen(0, 1.0, face.box, face)], [True])
        self.emotions([squares[0]])

    def _look(self, seen: Sequence[_Seen], demographics: Sequence[bool]) -> list[ObservedFace]:
        """All models over all faces; every run is begun before the first is waited for."""
        faces = [one.face for one in seen]
        asked = [i for i, wanted in enumerate(demographics) if wanted]
        embeddings = self._workers.start(self._pack.embedder, faces)
        poses = self._workers.start(self._pack.pose, faces) if self._pack.pose else None
        told = [self._workers.start(m, [faces[i] for i in asked]) for m in self._pack.demographics]
        hidden = self._workers.start(self._occlusion, faces) if self._occlusion else None
        if self._sharpness:
            sharp = self._workers.start(self._sharpness, faces)
        else:
            sharp = self._workers.map(sharpness.sobel, faces)
        angles = poses() if poses else [from_landmarks(face.landmarks) for face in faces]
        occluded = hidden() if hidden else [None] * len(faces)
        persons = [Demographics(None, None)] * len(faces)
        for i, *answers in zip(asked, *(answers() for answers in told), strict=True):
            persons[i] = Demographics(_mean(a.age for a in answers), _mean(a.male for a in answers))
        return [
            _observed(*values, native_angles=poses is not None)
            for values in zip(seen, embeddings(), angles, occluded, sharp(), persons, strict=True)
        ]

    def _threshold(self, frame: FrameInput) -> float:
        return self._pack.detector.min_confidence if frame.min_confidence is None else frame.min_confidence

    def _provenance_at(self, threshold: float) -> Provenance:
        return msgspec.structs.replace(self._provenance, min_confidence=threshold)

    def _providers(self) -> tuple[str, ...]:
        pack = self._pack
        models: list[Model[Any, Any] | None] = [pack.detector.model, pack.embedder, pack.pose]
        models += [*pack.demographics, pack.emotion, self._occlusion, self._sharpness]
        sessions = [model.session for model in models if model is not None]
        return tuple(dict.fromkeys(name for session in sessions for name in session.get_providers()))


def _seen(frame: int, image: Image, found: Detections, count: int) -> list[_Seen]:
    """The first ``count`` detections, which are the most confident ones."""
    height, width = image.shape[:2]
    seen = []
    for box, score, landmarks in zip(
        found.boxes[:count], found.scores[:count], found.landmarks[:count], strict=True
    ):
        x_min, y_min, x_max, y_max = (float(v) for v in box)
        face = FaceInImage(image, (x_min, y_min, x_max, y_max), landmarks)
        seen.append(_Seen(frame, float(score), clipped(face.box, width, height), face))
    return seen


def _observed(
    seen: _Seen,
    embedding: Points,
    angles: Angles,
    occluded: float | None,
    sharp: float,
    person: Demographics,
    *,
    native_angles: bool,
) -> ObservedFace:
    x_min, y_min, x_max, y_max = (round(v, 2) for v in seen.box)
    box = (x_min, y_min, x_max, y_max)
    turned = Angles(round(angles.yaw, 2), round(angles.pitch, 2), round(angles.roll, 2))
    return ObservedFace(
        box=box,
        confidence=min(1.0, round(seen.score, 6)),
        landmarks=_ten(seen.face.landmarks),
        embedding=to_bytes(embedding),
        angles=turned,
        native_angles=native_angles,
        quality=QualityScore(
            size=round(size_score(box), 6),
            pose=round(pose_score(turned), 6),
            occlusion=round(occlusion_score(occluded), 6),
            sharpness=round(sharp, 6),
        ),
        occlusion_probability=None if occluded is None else round(occluded, 6),
        age=None if person.age is None else round(person.age, 2),
        male=None if person.male is None else round(person.male, 4),
    )


def _ten(
    landmarks: Points,
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    a, b, c, d, e, f, g, h, i, j = (round(float(v), 2) for v in landmarks.ravel())
    return a, b, c, d, e, f, g, h, i, j


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
