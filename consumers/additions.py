"""Builds what a completed job adds to a library: a film with its people, and a picture of each."""

from collections.abc import Mapping

from consumers.job_result import JobFrames
from facecore.contact_sheet import thumbnail
from facecore.library.prototypes import library_faces
from facecore.people import People
from schemas.library import FilmEntry
from schemas.metadata import STILLS
from schemas.requests import film_id
from schemas.results import ResultBody
from schemas.store.additions import Addition

THUMBNAIL_PIXELS = 128
"""Side of the pictures in a library: about 4 KiB each."""


def build_addition(
    job_id: str, job: JobFrames, people: People, body: ResultBody, best: Mapping[str, bytes], at: float
) -> Addition:
    """Builds the addition of a job to the library that its request names.

    Args:
        best: best shots (JPEG) by face.
        at: Unix seconds at which the job ends.
    """
    request = job.request
    film = FilmEntry(
        film_id=film_id(request),
        job_id=job_id,
        source=request.video_path,
        source_id=request.source_id,
        at=at,
        pack=body.metadata.model,
        duration=body.metadata.duration,
        faces=library_faces(people, job_id, body.faces, stills=body.metadata.frame_source in STILLS),
    )
    names = [face.face_id.partition("/")[2] for face in film.faces]
    pictures = {name: thumbnail(best[name], THUMBNAIL_PIXELS) for name in names if name in best}
    return Addition(request.parameters.library or "", film, pictures)
