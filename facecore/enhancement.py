"""Replaces faces of a frame by better ones from an enhanced picture of it."""

from collections.abc import Sequence

import msgspec

from facecore.geometry import iou
from facecore.quality import composite, size_score
from facecore.vectors import cosine
from schemas.observations import FrameFaces, ObservedFace
from schemas.requests import Enhancement

SAME_FACE_IOU = 0.3
"""Least intersection over union of the boxes of one face: detectors frame an enhanced face differently."""
SAME_PERSON_COSINE = 0.35
"""Least cosine similarity of a face and its restored version. Restoring lowers it; strangers stay below 0.33 with the
open pack, and published operating points of InsightFace's packs are near 0.4."""

NO_FACE = "the enhanced picture shows no face there"
OTHER_PERSON = "the enhanced picture shows another person there"
NOT_BETTER = "the enhanced face is no better"
"""Reasons why a face was not replaced, as results report them."""


def due(face: ObservedFace, settings: Enhancement) -> bool:
    """Returns whether a face's quality is below the trigger (which every resolved request has)."""
    return composite(face.quality) < (settings.quality_trigger or 0.0)


def triggered(frame: FrameFaces, settings: Enhancement) -> int:
    """Returns how many faces of the frame are to be enhanced."""
    return sum(due(face, settings) for face in frame.faces)


def improve(original: FrameFaces, restored: FrameFaces, settings: Enhancement) -> FrameFaces:
    """Returns the original frame with faces below the trigger replaced by better ones of the enhanced picture.

    A face is replaced only by one at the same place, of the same person and of higher composite quality. It keeps the
    original embedding and what depends on it, because restoring invents details.
    `FrameFaces.kept` has the reasons why faces below the trigger were not replaced.

    Args:
        restored: faces of the enhanced picture, at source scale (`at_source_scale`).
    """
    taken: set[int] = set()
    faces, reasons = [], set[str]()
    for face in original.faces:
        better = _better(face, restored.faces, taken) if due(face, settings) else None
        if isinstance(better, str):
            reasons.add(better)
        if not isinstance(better, int):
            faces.append(face)
            continue
        taken.add(better)
        faces.append(
            msgspec.structs.replace(
                restored.faces[better],
                embedding=face.embedding,
                identifiable=face.identifiable,
                enhanced=True,
            )
        )
    return msgspec.structs.replace(original, faces=tuple(faces), kept=tuple(sorted(reasons)))


def _better(face: ObservedFace, candidates: Sequence[ObservedFace], taken: set[int]) -> int | str:
    """Returns the index of the replacement: of the unused candidates at the same place that show the same person, the
    one with the greatest overlap, if its quality is higher. Else returns the reason."""
    overlapping = [
        number
        for number, candidate in enumerate(candidates)
        if number not in taken and iou(face.box, candidate.box) >= SAME_FACE_IOU
    ]
    if not overlapping:
        return NO_FACE
    same = [
        number
        for number in overlapping
        if cosine(face.embedding, candidates[number].embedding) >= SAME_PERSON_COSINE
    ]
    if not same:
        return OTHER_PERSON
    best = max(same, key=lambda number: float(iou(face.box, candidates[number].box)))
    return best if composite(candidates[best].quality) > composite(face.quality) else NOT_BETTER


def at_source_scale(restored: FrameFaces, width: int, height: int) -> FrameFaces:
    """Returns the faces of an enhanced, possibly upscaled picture with coordinates and sizes in source pixels."""
    x_scale, y_scale = width / restored.width, height / restored.height
    return msgspec.structs.replace(
        restored,
        width=width,
        height=height,
        faces=tuple(scaled(face, x_scale, y_scale) for face in restored.faces),
    )


def scaled(face: ObservedFace, x_scale: float, y_scale: float) -> ObservedFace:
    """Returns the face with scaled coordinates and the size component that follows from them."""
    x_min, y_min, x_max, y_max = face.box
    box = (x_min * x_scale, y_min * y_scale, x_max * x_scale, y_max * y_scale)
    points = tuple(value * (y_scale if i % 2 else x_scale) for i, value in enumerate(face.landmarks))
    quality = msgspec.structs.replace(face.quality, size=size_score(box))
    return msgspec.structs.replace(face, box=box, landmarks=points, quality=quality)
