"""Builds the faces of a job's result from its people."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from facecore.doubts import MeanFace, mean_face, one_person, same_person
from facecore.people import People, Person, Sighting
from facecore.quality import composite, pose_class
from facecore.vectors import from_bytes, unit
from schemas.results import (
    Appearance,
    BoundingBox,
    Demographics,
    Detection,
    Face,
    Landmarks,
    Match,
    Nearest,
    Occlusion,
    PoseAngles,
    Quality,
    QualityComponents,
)

BLOCK_PEOPLE = 4096
"""Rows of the similarity matrix held at a time."""


def describe(
    people: People,
    demographics: Sequence[Demographics] | None,
    matches: Sequence[list[Match]] | None = None,
    *,
    frames: int,
) -> list[Face]:
    """Returns the faces of the result, one a person.

    Args:
        demographics: of each person; None: not estimated.
        matches: known people similar to each person; None: not searched.
        frames: number of analysed frames.
    """
    demographics_of = [None] * len(people.persons) if demographics is None else demographics
    matches_of = (
        [msgspec.UNSET] * len(people.persons) if matches is None else (matches or [[]] * len(people.persons))
    )
    means = [mean_face(person.sightings) for person in people.persons]
    nearest = _nearest(people, means)
    return [
        Face(
            face_id=f"face_{number}",
            embedding=_numbers(_unit([person.best])[0]),
            demographics=said,
            detections=[_detection(sighting) for sighting in person.sightings],
            representative_detection=_detection(person.best),
            appearances=_appearances(person),
            share=round(len({s.frame.index for s in person.sightings}) / frames, 4),
            cohesion=_cohesion(person),
            one_person=round(one_person(person, len(people.persons)), 4),
            person_embedding=_numbers(means[number].vector) if len(person.sightings) > 1 else msgspec.UNSET,
            nearest=nearest[number],
            weak_detections=sum(sighting.weak for sighting in person.sightings),
            thumbnail=f"faces/face_{number}/thumbnail",
            thumbnail_brightened=person.best.face.dark,
            identifiable=person.best.face.identifiable,
            matches=matches_of[number],
        )
        for number, (person, said) in enumerate(zip(people.persons, demographics_of, strict=True))
    ]


def _unit(sightings: Sequence[Sighting]) -> NDArray[np.float64]:
    """Returns the embeddings scaled to length 1, (n, 512)."""
    return unit(from_bytes([s.face.embedding for s in sightings]).astype(np.float64))


def _numbers(embedding: NDArray[Any]) -> list[float]:
    return [round(float(x), 7) for x in embedding]


def _appearances(person: Person) -> list[Appearance]:
    """Returns the time ranges of consecutive samples that show the person."""
    ranges: list[list[Sighting]] = []
    for sighting in person.sightings:
        if ranges and sighting.frame.index - ranges[-1][-1].frame.index <= 1:
            ranges[-1].append(sighting)
        else:
            ranges.append([sighting])
    return [
        Appearance(round(seen[0].frame.timestamp, 6), round(seen[-1].frame.timestamp, 6)) for seen in ranges
    ]


def _cohesion(person: Person) -> float:
    """Returns the mean cosine similarity of the person's faces to their mean."""
    faces = _unit(person.sightings)
    centre = faces.mean(axis=0)
    return round(float((faces @ centre).mean() / np.linalg.norm(centre)), 4)


def _nearest(people: People, means: Sequence[MeanFace]) -> list[Nearest | None]:
    """Returns for each person the other one with the most similar best shot, for review; None without another,
    and for faces that cannot be identified."""
    found: list[Nearest | None] = [None] * len(people.persons)
    known = [number for number, person in enumerate(people.persons) if person.best.face.identifiable]
    if len(known) < 2:
        return found
    faces = _unit([people.persons[number].best for number in known])
    for start in range(0, len(known), BLOCK_PEOPLE):
        similar = faces[start : start + BLOCK_PEOPLE] @ faces.T
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -1.0  # not the same person
        for row, other in enumerate(similar.argmax(axis=1)):
            found[known[start + row]] = Nearest(
                f"face_{known[other]}",
                round(float(similar[row, other]), 4),
                round(same_person(means[known[start + row]], means[known[other]], len(known)), 4),
            )
    return found


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
        detector_score=None if face.detector_score is None else round(face.detector_score, 4),
        occlusion=Occlusion(
            occluded=(face.occlusion_probability or 0.0) > 0.5,
            probability=round(face.occlusion_probability or 0.0, 4),
        ),
    )
