"""What a library keeps of a person of a film: the mean face, and how much there is behind it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facecore.people import People, Sighting
from facecore.quality import composite
from facecore.vectors import from_bytes, lengths, to_bytes, unit
from schemas.library import KnownAs, LibraryFace
from schemas.results import Face, Match


class Prototype(NamedTuple):
    """The mean face of a person of a film; see `schemas.library.LibraryFace`."""

    vector: bytes
    sureness: float
    spread: float


def prototype(sightings: Sequence[Sighting]) -> Prototype:
    """Returns the mean face of a person, detections weighted by their quality and the length of their embedding."""
    embeddings = from_bytes([sighting.face.embedding for sighting in sightings]).astype(np.float64)
    quality = np.array([composite(sighting.face.quality) for sighting in sightings]) + np.finfo(float).tiny
    mean = quality @ embeddings / quality.sum()
    cosines = unit(embeddings) @ unit(mean)
    return Prototype(to_bytes(unit(mean)), float(lengths(mean[None])[0]), float(1 - cosines.mean()))


def library_faces(
    people: People, job_id: str, faces: Sequence[Face], *, stills: bool = False
) -> tuple[LibraryFace, ...]:
    """Returns the people of a job as a library keeps them; those who cannot be identified are left out.

    Args:
        faces: of the job's result, one per person, in the same order.
        stills: the frames are pictures of an album, or a single one, which have no times.
    """
    found = []
    known = _known(faces)
    for person, face in zip(people.persons, faces, strict=True):
        if not face.identifiable:
            continue
        mean, best = prototype(person.sightings), face.representative_detection
        who = known.get(face.face_id)
        found.append(
            LibraryFace(
                face_id=f"{job_id}/{face.face_id}",
                prototype=mean.vector,
                sureness=round(mean.sureness, 4),
                detections=len(face.detections),
                spread=round(mean.spread, 4),
                quality=best.quality.composite,
                timestamp=best.timestamp,
                appearances=() if stills else tuple(face.appearances),
                pictures=picture_numbers(face) if stills else (),
                demographics=face.demographics,
                known=KnownAs(collection=who.collection, person_id=who.person_id) if who else None,
                likeness=round(who.similarity, 4) if who else 0.0,
                division=person.division,
            )
        )
    return tuple(found)


def picture_numbers(face: Face) -> tuple[int, ...]:
    """Returns the numbers of the pictures of an album that show a person, from 1."""
    return tuple(sorted({detection.frame_index + 1 for detection in face.detections}))


def _known(faces: Sequence[Face]) -> dict[str, Match]:
    """Returns whom of the collections each face is most like; of the faces that are like one person, one alone is."""
    best: dict[tuple[str, str], tuple[float, str, Match]] = {}
    for face in faces:
        for match in (face.matches or ())[:1]:
            place = match.collection, match.person_id
            if place not in best or match.similarity > best[place][0]:
                best[place] = match.similarity, face.face_id, match
    return {face_id: match for _, face_id, match in best.values()}
