"""From the faces of all frames to the people of a job: filter, cluster, choose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facecore.clustering import WEAK, Detections, cluster, representative, weakness
from facecore.quality import composite
from facecore.vectors import from_bytes, lengths
from schemas.names import portrait_field
from schemas.observations import FrameFaces, ObservedFace
from schemas.results import Rejected


@dataclass(frozen=True, slots=True)
class Sighting:
    """One detection, and its place among the faces of its frame.

    Attributes:
        weak: the embedder is not sure of it, compared with the job's best faces.
    """

    position: int
    frame: FrameFaces
    face: ObservedFace
    weak: bool = False

    @property
    def portrait(self) -> str:
        """Field of the job's portraits hash."""
        return portrait_field(self.frame.index, self.position, self.face.enhanced)


@dataclass(frozen=True, slots=True)
class Person:
    """Sightings in order of time, and which of them is the best shot."""

    sightings: list[Sighting]
    best: Sighting


@dataclass(frozen=True, slots=True)
class People:
    """Most present person first."""

    persons: list[Person]
    rejected: Rejected

    @property
    def detections(self) -> int:
        return sum(len(person.sightings) for person in self.persons)


def gather(
    frames: Sequence[FrameFaces],
    *,
    threshold: float,
    deduplicate: bool,
    sampling_interval: float,
    min_quality: float,
    max_faces: int,
) -> People:
    """The people in a job's frames, whatever order the frames come in.

    Args:
        threshold: cosine similarity from which two faces are one person.
        deduplicate: False makes every detection a person.
        sampling_interval: seconds between samples.
        min_quality: detections of lower composite quality are dropped.
        max_faces: the most people to return; the least present are left out.
    """
    seen = [
        Sighting(position, frame, face)
        for frame in sorted(frames, key=lambda frame: (frame.timestamp, frame.index))
        for position, face in enumerate(frame.faces)
    ]
    kept = [sighting for sighting in seen if composite(sighting.face.quality) >= min_quality]
    columns = _columns(kept)
    weak = weakness(lengths(columns.embeddings)) > WEAK
    kept = [replace(sighting, weak=bool(w)) for sighting, w in zip(kept, weak, strict=True)]
    labels = (
        cluster(columns, threshold, sampling_interval=sampling_interval)
        if deduplicate
        else np.arange(len(kept), dtype=np.int64)
    )
    persons = _persons(kept, columns, labels)
    return People(
        persons[:max_faces],
        Rejected(
            low_confidence=sum(frame.low_confidence for frame in frames),
            low_quality=len(seen) - len(kept),
            max_faces=sum(len(person.sightings) for person in persons[max_faces:]),
        ),
    )


def _columns(seen: Sequence[Sighting]) -> Detections:
    return Detections(
        embeddings=from_bytes([s.face.embedding for s in seen]),
        frames=np.array([s.frame.index for s in seen], np.int64),
        timestamps=np.array([s.frame.timestamp for s in seen], np.float64),
        boxes=np.array([s.face.box for s in seen], np.float32).reshape(len(seen), 4),
        quality=np.array([composite(s.face.quality) for s in seen], np.float32),
        confidence=np.array([s.face.confidence for s in seen], np.float32),
    )


def _persons(seen: Sequence[Sighting], columns: Detections, labels: NDArray[np.int64]) -> list[Person]:
    """Ordered by number of detections, then the best quality, then who appears first."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    found = []
    for members in groups:
        best = representative(members, columns.quality, columns.confidence, columns.timestamps)
        rank = (-len(members), -float(columns.quality[best]), int(members[0]))
        found.append((rank, Person([seen[i] for i in members], seen[best])))
    return [person for _, person in sorted(found, key=lambda item: item[0])]
