"""The face analysis of frames: runs all models of a pack over a batch of frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import structlog

from facecore import attributes, occlusion, sharpness
from facecore.align import ARCFACE_TEMPLATE, FaceInImage, Image, Points
from facecore.attributes import FaceAttributes
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
from facecore.identifiability import brightened, visibility
from facecore.model import Model, Workers
from facecore.narrowing import as_rejected, passing
from facecore.packs import Pack, load_open
from facecore.portraits import FaceInPortrait, portrait
from facecore.pose import from_landmarks, tilted
from facecore.quality import occlusion_score, pose_score, size_score
from facecore.turning import look_again, upright
from facecore.vectors import to_bytes
from models.archives import sha256_of
from models.catalog import OPEN
from models.fetch import ensure, find_extra
from schemas.observations import Angles, FrameFaces, ObservedFace, Provenance, QualityScore

log = structlog.get_logger(__name__)


class FrameInput(NamedTuple):
    """A frame to analyze.

    Attributes:
        index: number of the sample in its job.
        timestamp: seconds from the start of the video.
        image: (H, W, 3) bytes, BGR.
        min_confidence: lowest confidence of a detection, 0-1; None: the pack's default. What scores below
            detector.SCORE_FLOOR is never a detection.
    """

    index: int  # type: ignore[assignment]
    timestamp: float
    image: Image
    min_confidence: float | None


@dataclass(frozen=True, slots=True)
class Description:
    """The models of an analyzer and where they run.

    Attributes:
        providers: execution providers that the sessions report.
        models: role → ``name@hash`` (first digits of the file's SHA-256); also the sides of the detector's input, and
            the sharpness method where no model file is used for it.
        min_confidence: the pack's default.
    """

    pack: str
    providers: tuple[str, ...]
    models: dict[str, str]
    min_confidence: float


class _Candidate(NamedTuple):
    """A detection above the threshold."""

    frame: int  # position in the batch
    confidence: float
    score: float  # as the detector gives it
    box: Box  # clipped to the picture
    face: FaceInImage


class Analyzer:
    """Finds and describes the faces in frames; owns one set of sessions. Not safe for concurrent callers."""

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
        self._provenance = Provenance(
            pack=pack.name,
            detector=models["detector"],
            embedder=models["embedding"],
            providers=self._providers(),
            sharpness=method,
            occlusion=models.get("occlusion"),
            min_confidence=pack.detector.min_confidence,
        )
        models["detector_sizes"] = ", ".join(map(str, pack.detector.sizes))
        models.setdefault("sharpness", method)
        self._description = Description(
            pack.name, self._provenance.providers, models, pack.detector.min_confidence
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
        """Loads a pack, fetching it first if it is missing. Blocks for seconds.

        Args:
            models_path: the directory of models (INSIGHTFACE_MODELS_CACHE).
            tensorrt: settings of TensorRT; None: not used. Needs a GPU.
            threads: model runs in parallel.

        Raises:
            ModelsUnavailable: the pack cannot be fetched or opened.
            DeviceUnavailable: CUDA or TensorRT is required and unavailable, or conflicting distributions are
                installed.
        """
        check_distributions()
        chosen = choose_device(device, tensorrt)
        directory = ensure(pack, models_path)
        if pack == OPEN:
            opened = load_open(pack, directory, chosen)
        else:
            from facecore.zoo import load_insightface  # importing insightface takes a second

            opened = load_insightface(pack, directory, chosen)
        analyzer = cls(opened, models_path, chosen, threads)
        if on_gpu(opened.detector.model.session):
            analyzer._warm_up()
        trim_heap()
        log.info("models loaded", pack=pack, providers=analyzer.describe().providers, threads=threads)
        return analyzer

    def describe(self) -> Description:
        """Returns the models in use and where they run."""
        return self._description

    def analyze(self, frames: Sequence[FrameInput]) -> list[FrameFaces]:
        """Returns the faces of each frame, highest score first. A frame's result does not depend on the others."""
        detections = self._pack.detector.detect([frame.image for frame in frames], self._workers)
        candidates: list[_Candidate] = []
        rejected: list[tuple[float, ...]] = []
        for number, (frame, found) in enumerate(zip(frames, detections, strict=True)):
            confidence = self._pack.detector.confidence(found.scores).round(6)  # as reported
            count = passing(confidence, self._threshold(frame))
            rejected.append(as_rejected(confidence[count:]))
            candidates += _candidates(number, frame.image, found, confidence[:count])
        faces = self._observe(candidates)
        by_frame: list[list[ObservedFace]] = [[] for _ in frames]
        for candidate, face in zip(candidates, faces, strict=True):
            by_frame[candidate.frame].append(face)
        return [
            FrameFaces(
                index=frame.index,
                timestamp=frame.timestamp,
                width=frame.image.shape[1],
                height=frame.image.shape[0],
                faces=tuple(by_frame[number]),
                detector_size=self._pack.detector.size_for(frame.image),
                low_confidence=len(rejected[number]),
                rejected_confidences=rejected[number],
                provenance=msgspec.structs.replace(self._provenance, min_confidence=self._threshold(frame)),
            )
            for number, frame in enumerate(frames)
        ]

    def portrait(self, image: Image, face: ObservedFace) -> Image:
        """Cuts out the square around a face, turned upright, at most 256 pixels a side, BGR; input of `emotions` and
        `attributes`.

        A nearly black face is brightened for people to see.
        """
        landmarks = np.array(face.landmarks, np.float32).reshape(5, 2)
        head = upright(FaceInImage(image, face.box, landmarks), plain=True).face
        shown = portrait(head.image, head.box)
        return brightened(shown) if face.dark else shown

    def emotions(self, portraits: Sequence[Image]) -> list[str | None]:
        """Returns one of attributes.EMOTIONS for each portrait; None where unsure or without a model."""
        if self._pack.emotion is None:
            return [None] * len(portraits)
        return [*self._workers.start(self._pack.emotion, portraits)()]

    def attributes(self, portraits: Sequence[FaceInPortrait]) -> list[FaceAttributes]:
        """Returns age and gender of the face in each portrait."""
        runs = [self._workers.start(model, portraits) for model in self._pack.attributes]
        estimates = [run() for run in runs]
        return [attributes.combined([found[i] for found in estimates]) for i in range(len(portraits))]

    def close(self) -> None:
        """Stops the worker threads."""
        self._workers.close()

    def _warm_up(self) -> None:
        """Runs every model once on black squares, so that kernels and memory are ready for the first job."""
        squares = [np.zeros((side, side, 3), np.uint8) for side in (320, 640, 1600)]
        self.analyze([FrameInput(0, 0.0, square, None) for square in squares])
        face = FaceInImage(squares[0], (80.0, 80.0, 240.0, 240.0), ARCFACE_TEMPLATE + 100)
        self._observe([_Candidate(0, 1.0, 1.0, face.box, face)])
        self.emotions([squares[0]])
        self.attributes([FaceInPortrait(squares[0], 1.0)])

    def _observe(self, candidates: Sequence[_Candidate]) -> list[ObservedFace]:
        """Runs the models of a frame over all faces; starts every run before it waits for the first."""
        pack, workers = self._pack, self._workers
        found = [candidate.face for candidate in candidates]
        faces, turned = look_again(found, pack.detector, workers)
        candidates = [one._replace(face=face) for one, face in zip(candidates, faces, strict=True)]
        heads = [head.face for head in turned]
        embeddings = workers.start(pack.embedder, faces)
        poses = workers.start(pack.pose, heads) if pack.pose else None
        occlusions = workers.start(self._occlusion, heads) if self._occlusion else None
        if self._sharpness:
            sharpnesses = workers.start(self._sharpness, faces)
        else:
            sharpnesses = workers.map(sharpness.sobel, faces)
        if poses:
            angles = [tilted(seen, head.degrees) for seen, head in zip(poses(), turned, strict=True)]
        else:
            angles = [from_landmarks(face.landmarks) for face in faces]
        occluded = occlusions() if occlusions else [None] * len(faces)
        return [
            _observed(*values, native_angles=poses is not None)
            for values in zip(candidates, embeddings(), angles, occluded, sharpnesses(), strict=True)
        ]

    def _threshold(self, frame: FrameInput) -> float:
        return self._pack.detector.min_confidence if frame.min_confidence is None else frame.min_confidence

    def _providers(self) -> tuple[str, ...]:
        pack = self._pack
        models: list[Model[Any, Any] | None] = [pack.detector.model, pack.embedder, pack.pose]
        models += [*pack.attributes, pack.emotion, self._occlusion, self._sharpness]
        sessions = [model.session for model in models if model is not None]
        return tuple(dict.fromkeys(name for session in sessions for name in session.get_providers()))


def _candidates(frame: int, image: Image, found: Detections, confidences: Points) -> list[_Candidate]:
    """Returns the detections that ``confidences`` holds, those with the highest scores."""
    height, width = image.shape[:2]
    candidates = []
    count = len(confidences)
    for box, confidence, score, landmarks in zip(
        found.boxes[:count], confidences, found.scores[:count], found.landmarks[:count], strict=True
    ):
        x_min, y_min, x_max, y_max = (float(v) for v in box)
        face = FaceInImage(image, (x_min, y_min, x_max, y_max), landmarks)
        box_inside = clipped(face.box, width, height)
        candidates.append(_Candidate(frame, float(confidence), float(score), box_inside, face))
    return candidates


def _observed(
    candidate: _Candidate,
    embedding: Points,
    angles: Angles,
    occluded: float | None,
    sharp: float,
    *,
    native_angles: bool,
) -> ObservedFace:
    x_min, y_min, x_max, y_max = (round(v, 2) for v in candidate.box)
    box = (x_min, y_min, x_max, y_max)
    rounded = Angles(round(angles.yaw, 2), round(angles.pitch, 2), round(angles.roll, 2))
    return ObservedFace(
        box=box,
        confidence=min(1.0, round(candidate.confidence, 6)),
        detector_score=min(1.0, round(candidate.score, 6)),
        landmarks=_flat(candidate.face.landmarks),
        embedding=to_bytes(embedding),
        angles=rounded,
        native_angles=native_angles,
        quality=QualityScore(
            size=round(size_score(box), 6),
            pose=round(pose_score(rounded), 6),
            occlusion=round(occlusion_score(occluded), 6),
            sharpness=round(sharp, 6),
        ),
        occlusion_probability=None if occluded is None else round(occluded, 6),
        **visibility(candidate.face)._asdict(),
    )


def _flat(
    landmarks: Points,
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    a, b, c, d, e, f, g, h, i, j = (round(float(v), 2) for v in landmarks.ravel())
    return a, b, c, d, e, f, g, h, i, j
