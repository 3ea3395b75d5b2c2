"""What an enhanced picture of a frame changes about the faces found in the original."""

from collections.abc import Sequence

import msgspec

from facecore.geometry import iou
from facecore.quality import composite, size_score
from facecore.vectors import cosine
from schemas.observations import FrameFaces, ObservedFace
from schemas.requests import Enhancement

SAME_PLACE = 0.3
"""Intersection over union from which two boxes can be one face: an enhanced face may be framed differently."""
SAME_PERSON = 0.35
"""Cosine similarity from which the restored face is still the person: restoring lowers it, and strangers stay
below 0.33 with the open pack; published operating points of InsightFace's packs lie near 0.4."""

NO_FACE = "the enhanced picture shows no face there"
SOMEBODY_ELSE = "the enhanced picture shows somebody else there"
NO_BETTER = "the enhanced face is no better"


def due(face: ObservedFace, wanted: Enhancement) -> bool:
    """Whether a face is poor enough to be enhanced (a resolved request has a quality_trigger)."""
    return composite(face.quality) < (wanted.quality_trigger or 0.0)


def triggered(frame: FrameFaces, wanted: Enhancement) -> int:
    """How many faces of the frame are to be enhanced."""
    return sum(due(face, wanted) for face in frame.faces)


def improve(original: FrameFaces, restored: FrameFaces, wanted: Enhancement) -> FrameFaces:
    """The original's faces, with those below the trigger replaced where the enhanced picture shows them better, and
    why others below it were not.

    Args:
        restored: faces of the enhanced picture, coordinates and size component already at source scale.

    A face is replaced only by one in the same place with the same identity and a higher composite; its
    embedding stays the original's, since a restored face is partly invented.
    """
    taken: set[int] = set()
    faces, reasons = [], set[str]()
    for face in original.faces:
        better = _better(face, restored.faces, taken) if due(face, wanted) else None
        if isinstance(better, str):
            reasons.add(better)
        if not isinstance(better, int):
            faces.append(face)
            continue
        taken.add(better)
        faces.append(
            msgspec.structs.replace(
                restored.faces[better], embedding=face.embedding, age=face.age, male=face.male, enhanced=True
            )
        )
    return msgspec.structs.replace(original, faces=tuple(faces), kept=tuple(sorted(reasons)))


def _better(face: ObservedFace, candidates: Sequence[ObservedFace], taken: set[int]) -> int | str:
    """Of the unused candidates in the same place that are the same person the one with the greatest overlap, if it is
    better; else the reason why there is none."""
    there = [
        number
        for number, candidate in enumerate(candidates)
        if number not in taken and iou(face.box, candidate.box) >= SAME_PLACE
    ]
    if not there:
        return NO_FACE
    same = [number for number in there if cosine(face.embedding, candidates[number].embedding) >= SAME_PERSON]
    if not same:
        return SOMEBODY_ELSE
    best = max(same, key=lambda number: float(iou(face.box, candidates[number].box)))
    return best if composite(candidates[best].quality) > composite(face.quality) else NO_BETTER


def at_source_scale(restored: FrameFaces, width: int, height: int) -> FrameFaces:
    """Faces of an enhanced (perhaps upscaled) picture in pixels of the source, their size measured there."""
    across, down = width / restored.width, height / restored.height
    return msgspec.structs.replace(
        restored,
        width=width,
        height=height,
        faces=tuple(scaled(face, across, down) for face in restored.faces),
    )


def scaled(face: ObservedFace, across: float, down: float) -> ObservedFace:
    """The face with its coordinates, and the size they make, multiplied."""
    x_min, y_min, x_max, y_max = face.box
    box = (x_min * across, y_min * down, x_max * across, y_max * down)
    points = tuple(value * (down if i % 2 else across) for i, value in enumerate(face.landmarks))
    quality = msgspec.structs.replace(face.quality, size=size_score(box))
    return msgspec.structs.replace(face, box=box, landmarks=points, quality=quality)
