"""Requests and responses of the REST interface for libraries of people."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.library import Change, Joined, KnownAs
from schemas.questions import SeenFace
from schemas.results import Appearance, Evidence


class ReembedProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the faces of other model packs have been embedded anew, as asked for last.

    Attributes:
        run: names the request.
        model: pack that they get vectors of.
        ended_at: null while it goes on, or waits for a worker.
        waiting: faces that were not tried yet.
        unfit: faces that have no picture in which the pack finds a face. They stay as they are, and are compared with
            faces of their own pack only, until their films are analysed again.
        films: ids of these films, the first hundred.
    """

    run: str
    model: str
    started_at: str
    ended_at: str | None
    waiting: int
    unfit: int
    films: list[str]


class LibraryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A library and how much is in it.

    Attributes:
        version: changes with every film and correction.
        waiting: corrections that are accepted and not applied yet.
        reembedding: null: nobody has asked for it.
    """

    name: str
    created_at: str
    version: str
    people: int
    named: int
    faces: int
    films: int
    corrections: int
    suggestions: int
    waiting: int
    reembedding: ReembedProgress | None = None


class LibraryList(msgspec.Struct, frozen=True, kw_only=True):
    """Response with every library."""

    libraries: list[LibraryInfo]


class LibraryPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a library.

    Attributes:
        label: null: without a name so far.
        known: whom of a collection the films show the person to be (`match_collections`); the label is the one there,
            unless the person was given another.
        hidden: of no interest to the library's people.
        portrait: address of the picture, relative to that of the library; null: no film shows the person any more.
        faces: people of films who are this person.
        seconds: time on screen in all films.
        pictures: number of pictures of albums that show the person; a picture has no time on screen.
    """

    person_id: str
    label: str | None
    known: KnownAs | None = None
    hidden: bool
    portrait: str | None
    faces: int
    films: int
    detections: int
    seconds: float
    pictures: int


class LibraryPeople(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a library's people, in the order in which they were founded.

    Attributes:
        next: where the list goes on, as `after` of the next question; null at its end. A page may hold fewer people
            than its limit, even none, when many had to be looked at.
    """

    people: list[LibraryPerson]
    next: str | None


class FilmAppearance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person is in one film.

    Attributes:
        duration: seconds of the film; null: unknown.
        seconds: time on screen.
        pictures: numbers of the pictures that show the person, from 1, of an album or a single picture: these have no
            times. Empty for a film.
        thumbnail: address of the picture, relative to that of the library.
    """

    film_id: str
    job_id: str
    source: str
    source_id: str | None
    duration: float | None
    face_id: str
    appearances: tuple[Appearance, ...]
    detections: int
    seconds: float
    pictures: tuple[int, ...]
    thumbnail: str
    evidence: Evidence


class PersonAppearances(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the films with a person, and when the person is in them.

    Attributes:
        next: where the list goes on, as `after` of the next question; null at its end.
    """

    person: LibraryPerson
    films: list[FilmAppearance]
    next: str | None


class LibraryFilm(msgspec.Struct, frozen=True, kw_only=True):
    """A film of a library."""

    film_id: str
    job_id: str
    source: str
    source_id: str | None
    duration: float | None
    model: str
    added_at: str
    people: int


class LibraryFilms(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the films, in the order of their ids; `next`: as in `LibraryPeople`."""

    films: list[LibraryFilm]
    next: str | None


class FilmPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a film; `pictures`: as in `FilmAppearance`."""

    person: LibraryPerson
    face_id: str
    appearances: tuple[Appearance, ...]
    detections: int
    seconds: float
    pictures: tuple[int, ...]
    thumbnail: str
    evidence: Evidence


class FilmPeople(msgspec.Struct, frozen=True, kw_only=True):
    """The people of a film, the longest on screen first."""

    film: LibraryFilm
    people: list[FilmPerson]


class Companion(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is in the same films as a person.

    Attributes:
        seconds: time on screen together.
        pictures: number of pictures of albums that show both.
    """

    person: LibraryPerson
    films: int
    seconds: float
    pictures: int


class Companions(msgspec.Struct, frozen=True, kw_only=True):
    """Who appears with a person, longest together first.

    Attributes:
        films: films that were looked at.
        complete: false: the person is in more films than that.
    """

    person: LibraryPerson
    together: list[Companion]
    films: int
    complete: bool


class AskedSuggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A question to people: whether these two are one person.

    Attributes:
        seen, other_seen: the two faces the question is about, each in its film.
        probability: that they are.
    """

    face_id: str
    other_face_id: str
    person: LibraryPerson
    other: LibraryPerson
    thumbnail: str
    other_thumbnail: str
    seen: FilmAppearance
    other_seen: FilmAppearance
    probability: float


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """The questions whose answers settle most, first.

    Attributes:
        total: how many there are.
    """

    suggestions: list[AskedSuggestion]
    total: int


class LoggedCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that was applied, or a merge that the service made without being asked.

    Attributes:
        entry_id: its id in the log; `undo` names it.
        by: who; empty: unknown, or the service.
        change: of the type `joined`: by the service.
    """

    entry_id: str
    at: str
    by: str
    change: Change | Joined


class Corrections(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the corrections and of the service's own merges, the latest first; `next`: as in `LibraryPeople`."""

    corrections: list[LoggedCorrection]
    next: str | None


class CorrectionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A correction of a library.

    Attributes:
        change: what is said.
        correction_id: chosen by the caller; a correction that is sent twice under one id is applied once.
    """

    change: Change
    correction_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}(?!\n)$")] | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A correction was applied.

    Attributes:
        entry_id: its id in the log; `undo` names it.
        people: the people that it changed; those that are gone are left out.
        films: ids of films that were divided: it shows when they are analysed again.
        jobs: those that do this now; none for a film whose earlier job is gone.
    """

    entry_id: str
    people: list[LibraryPerson]
    films: list[str] = []
    jobs: list[str] = []


class FoundPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a library who matches a search.

    Attributes:
        face_id: the most similar of the person's faces.
        similarity: cosine of that face and the one searched for.
        probability: that the two are one person.
    """

    person: LibraryPerson
    face_id: str
    similarity: float
    probability: float


class LibrarySearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a search in a library.

    Attributes:
        threshold: people who are less similar are left out.
        matches: the most similar person first.
        face: of the photograph, when it was one.
    """

    library: str
    threshold: float
    matches: list[FoundPerson]
    face: SeenFace | None = None


class LibraryEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened in a library.

    Attributes:
        kind: a film was added or analysed again; somebody corrected something; two people were merged without being
            asked for, since later films show that they are one; the faces were grouped anew; something was erased.
        entry_id: its id in the log.
        people: who is in the film, was merged (the first one stays), or was erased.
        change: of a correction.
    """

    kind: Literal["film", "correction", "joined", "resolved", "erased"]
    entry_id: str
    film_id: str | None = None
    job_id: str | None = None
    people: list[str] = []
    change: Change | None = None


class RegroupRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request to decide anew who the faces of a library are.

    Attributes:
        threshold: least probability of a join; null: the default.
    """

    threshold: Annotated[float, Meta(ge=0.5, le=1.0)] | None = None
