"""From the faces of all frames to the people of a job: filter, cluster, choose, describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facecore.clustering import Detections, cluster, representative
from facecore.quality import composite, pose_class
from schemas.observations import FrameFaces, ObservedFace
from schemas.results import (
    BoundingBox,
    Demographics,
    Detection,
    Face,
    Landmarks,
    Occlusion,
    PoseAngles,
    Quality,
    QualityComponents,
    Rejected,
)

GENDER_SURE = 0.8
"""Mean probability over a person's detections below which no gender is told."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One detection, and its place among the faces of its frame."""

    position: int
    frame: FrameFaces
    face: ObservedFace

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


def portrait_field(index: int, position: int, enhanced: bool) -> str:
    """Where the crop of a face lies: those of an enhanced picture apart from those of the original."""
    return f"{index}{'+' if enhanced else ''}/{position}"


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


def describe(people: People, emotions: Sequence[str | None] | None, demographics: bool) -> list[Face]:
    """The result's faces.

    Args:
        emotions: one a person, or None when they were not looked at.
        demographics: whether age, gender and emotion were asked for.
    """
    told = emotions or [None] * len(people.persons)
    return [
        Face(
            face_id=f"face_{number}",
            embedding=_unit(person.best.face),
            demographics=_demographics(person, emotion) if demographics else None,
            detections=[_detection(sighting) for sighting in person.sightings],
            representative_detection=_detection(person.best),
        )
        for number, (person, emotion) in enumerate(zip(people.persons, told, strict=True))
    ]


def _columns(seen: Sequence[Sighting]) -> Detections:
    return Detections(
        embeddings=np.frombuffer(b"".join(s.face.embedding for s in seen), np.dtype("<f4"))
        .reshape(len(seen), 512)
        .astype(np.float32),
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


def _unit(face: ObservedFace) -> list[float]:
    vector = np.frombuffer(face.embedding, np.dtype("<f4")).astype(np.float64)
    return [round(float(x), 7) for x in vector / np.linalg.norm(vector)]


def _demographics(person: Person, emotion: str | None) -> Demographics:
    """Age is the median over the person's detections, gender their mean, each weighted by quality."""
    faces = [s.face for s in person.sightings]
    ages = [(f.age, composite(f.quality)) for f in faces if f.age is not None]
    males = [(f.male, composite(f.quality)) for f in faces if f.male is not None]
    return Demographics(
        age=round(_weighted_median(ages)) if ages else None,
        gender=_gender(males),
        emotion=emotion,
    )


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    passed = 0.0
    for value, weight in ordered:
        passed += weight
        if passed >= half:
            return value
    return ordered[-1][0]


def _gender(values: Sequence[tuple[float, float]]) -> Literal["M", "F"] | None:
    weights = sum(weight for _, weight in values)
    if not weights:
        return None
    male = sum(value * weight for value, weight in values) / weights
    if male >= GENDER_SURE:
        return "M"
    return "F" if male <= 1 - GENDER_SURE else None


def _detection(sighting: Sighting) -> Detection:
    face, q = sighting.face, sighting.face.quality
    x_min, y_min, x_max, y_max = (round(v) for v in face.box)
    points = [round(v) for v in face.landmarks]
    return Detection(
        frame_index=sighting.frame.index,
        timestamp=round(sighting.frame.timestamp, 6),
        bbox=BoundingBox(x_min, y_min, x_max, y_max),
        confidence=round(face.confidence, 4),
        quality=Quality(
            round(composite(q), 4),
            QualityComponents(
                round(q.size, 4), round(q.pose, 4), round(q.occlusion, 4), round(q.sharpness, 4)
            ),
        ),
        pose=pose_class(face.angles),
        pose_angles=PoseAngles(
            round(face.angles.yaw, 1), round(face.angles.pitch, 1), round(face.angles.roll, 1)
        ),
        landmarks=Landmarks(
            (points[0], points[1]),
            (points[2], points[3]),
            (points[4], points[5]),
            (points[6], points[7]),
            (points[8], points[9]),
        ),
        enhanced=face.enhanced,
        occlusion=Occlusion(
            occluded=(face.occlusion_probability or 0.0) > 0.5,
            probability=round(face.occlusion_probability or 0.0, 4),
        ),
    )
