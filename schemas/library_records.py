"""What is stored of a library for readers, and the orders that wait for its writer.

The records follow from the log (`schemas.library`): the worker that appends an entry changes them in the same step.
"""

import re

import msgspec

from schemas.library import KnownAs, PersonId
from schemas.names import JOB_ID
from schemas.results import Appearance, Evidence

FILM_ID = re.compile(r"film-[0-9a-f]{24}")


JOB_NAME = re.compile(rf"{JOB_ID.pattern}(~[0-9]{{1,9}})?")
"""Name of a job in the ids of faces: its id, with a number when another film had a job of that id before."""


def job_of(name: str) -> str:
    """Returns the id of a job by its name in the ids of faces."""
    return name.partition("~")[0]


class PersonRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person of a library.

    Attributes:
        known: whom of a collection the person is.
        hidden: of no interest to the library's people.
        portrait: the face that shows the person best; None: no film shows the person any more.
        faces: people of films who are this person.
        seconds: time on screen in all films.
        pictures: number of pictures of albums that show the person.
    """

    label: str | None = None
    known: KnownAs | None = None
    hidden: bool = False
    portrait: str | None = None
    faces: int
    films: int
    detections: int
    seconds: float
    pictures: int = 0


class FaceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person of one film, as seen there.

    Attributes:
        seconds: time on screen.
        pictures: numbers of the pictures of an album, see `LibraryFace`.
    """

    film_id: str
    detections: int
    appearances: tuple[Appearance, ...]
    seconds: float
    pictures: tuple[int, ...] = ()


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a face of a film is."""

    person_id: str
    evidence: Evidence


class FilmRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A film of a library.

    Attributes:
        job_id: its latest analysis, as it is named in the ids of faces.
        faces: names of its people in the result of that job.
        added: seconds since 1970.
    """

    job_id: str
    source: str
    source_id: str | None = None
    pack: str
    duration: float | None = None
    added: float
    faces: tuple[str, ...]


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """Two faces that may be one person: a question to people."""

    face_id: str
    other_face_id: str
    probability: float


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="erase"):
    """An order to erase a person, a film, or, without either, the library.

    Attributes:
        correction_id: who waits for the answer, and under which name.
        by: who; empty: unknown.
        at: seconds since 1970.
    """

    correction_id: str
    person_id: PersonId | None = None
    film_id: str | None = None
    by: str = ""
    at: float = 0.0


class Reembedding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reembed"):
    """An order to embed the faces of other model packs anew, from their pictures.

    Attributes:
        correction_id: who waits for the answer, and under which name; it names the run too.
    """

    correction_id: str


class Regrouping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="regroup"):
    """An order to decide anew who the faces of a library are; what people said about it holds.

    Attributes:
        correction_id: who waits for the answer, and under which name.
        threshold: least probability of a join; None: the default.
        at: seconds since 1970.
    """

    correction_id: str
    threshold: float | None = None
    at: float = 0.0
