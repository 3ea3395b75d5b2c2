"""Labelled videos: the detections of the analyzer, matched to the labels."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facecore.analyzer import Analyzer, FrameInput
from facecore.clustering import Detections
from facecore.geometry import iou
from facecore.quality import composite
from facecore.vectors import from_bytes
from facecore.video import Interval, open_source
from schemas.observations import FrameFaces

SAME_FACE = 0.4
"""Overlap (intersection over union) from which a labelled box and a found one are of one face."""


@dataclass(frozen=True)
class Clip:
    """A video's faces; `truth` holds the number of the labelled person, -1 where there is no label."""

    name: str
    detections: Detections
    truth: NDArray[np.int64]
    labelled: int  # faces with a person's label in the file
    empty: bool  # the file says that there is no face at all

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.truth >= 0


def clips(media: Path, labels: Path, analyzer: Analyzer, interval: float) -> Iterator[Clip]:
    """The videos that the file of labels names, one after the other.

    Raises:
        FileNotFoundError: a video is not in the folder.
    """
    for name, marked in json.loads(labels.read_text()).items():
        detections = since_first_frame(analysed(media / name, analyzer, interval))
        truth = _truth(detections, marked, interval)
        yield Clip(name, detections, truth, sum(m["person"] is not None for m in marked), not marked)


def analysed(video: Path, analyzer: Analyzer, interval: float) -> list[FrameFaces]:
    """Returns the faces of a video's samples.

    Raises:
        FileNotFoundError: there is no such video.
    """
    if not video.is_file():
        raise FileNotFoundError(f"There is no video {video}.")
    frames: list[FrameFaces] = []
    samples = open_source(video, Interval(interval), max_pixels=100_000_000)
    try:
        while some := list(islice(samples, 8)):
            frames += analyzer.analyze([FrameInput(s.index, s.timestamp, s.image, None) for s in some])
    finally:
        samples.close()
    return frames


def since_first_frame(frames: list[FrameFaces]) -> Detections:
    """All faces of a video, with seconds from its first frame, as the labels count them."""
    found = columns(frames)
    return replace(found, timestamps=found.timestamps - (frames[0].timestamp if frames else 0.0))


def columns(frames: list[FrameFaces]) -> Detections:
    """All faces of some frames."""
    seen = [(frame, face) for frame in frames for face in frame.faces]
    return Detections(
        embeddings=from_bytes([f.embedding for _, f in seen]),
        frames=np.array([frame.index for frame, _ in seen], np.int64),
        timestamps=np.array([frame.timestamp for frame, _ in seen], np.float64),
        boxes=np.array([f.box for _, f in seen], np.float32).reshape(-1, 4),
        quality=np.array([composite(f.quality) for _, f in seen], np.float32),
        confidence=np.array([f.confidence for _, f in seen], np.float32),
    )


def _truth(found: Detections, marked: list[dict[str, Any]], interval: float) -> NDArray[np.int64]:
    persons = {name: number for number, name in enumerate(sorted({m["person"] for m in marked} - {None}))}
    return np.array([persons.get(name, -1) for name in match(found, marked, interval)], np.int64)


def match(found: Detections, marked: list[dict[str, Any]], interval: float) -> list[str | None]:
    """Returns the labelled person of each face, None without one: each label goes to the face that it overlaps most,
    each face gets at most one."""
    truth: list[str | None] = [None] * len(found)
    if not marked or not len(found):
        return truth
    boxes = np.array([m["box"] for m in marked], np.float32)
    times = np.array([m["t"] for m in marked])
    overlap = iou(found.boxes[:, None], boxes)
    overlap[np.abs(found.timestamps[:, None] - times) > interval / 4] = 0
    while overlap.max() >= SAME_FACE:
        i, j = np.unravel_index(overlap.argmax(), overlap.shape)
        truth[i] = marked[j]["person"]
        overlap[i], overlap[:, j] = 0, 0
    return truth
