"""Erasing people and films: what leaves the log, so that nothing of them can be built again."""

from typing import TypeVar

import msgspec

from facecore.library.corrections import Refused
from facecore.library.state import State
from schemas.library import (
    Correction,
    Divide,
    Entry,
    Erased,
    FilmEntry,
    LibraryFace,
    Name,
    NewVector,
    Reembedded,
)

E = TypeVar("E", bound=Entry)


def erase_person(view: State, person: str, *, by: str = "", at: float = 0.0) -> Erased:
    """Returns the entry that erases a person with all faces, those of earlier analyses among them.

    Raises:
        Refused: there is no such person.
    """
    if view.person(person) is None:
        raise Refused(f"There is no person {person} in this library.")
    return _erased(view, view.partition.faces(view.partition.root(person)), [person], (), by, at)


def erase_film(view: State, film_id: str, *, by: str = "", at: float = 0.0) -> Erased:
    """Returns the entry that erases a film with all its faces, and the people who are in no other film.

    Raises:
        Refused: there is no such film.
    """
    if view.film(film_id) is None:
        raise Refused(f"There is no film {film_id} in this library.")
    faces = [number for number, node in enumerate(view.nodes) if node.film == film_id]
    gone = set(faces)
    people = {view.partition.person(face) for face in faces}
    alone = [person for person in sorted(people) if gone.issuperset(view.partition.faces(person))]
    return _erased(view, faces, alone, (film_id,), by, at)


def rewritten(entry_id: str, entry: E, erased: Erased) -> E:
    """Returns an entry of the log without what was erased; the same object when it has nothing of it.

    Ids stay, and so do the decisions about them: without their content they say nothing of anybody.
    """
    if isinstance(entry, FilmEntry):
        gone = {face for at, face in erased.faces if at == entry_id}
        blank = [LibraryFace(face_id=f.face_id) if f.face_id in gone else f for f in entry.faces]
        if entry.film_id in erased.films:
            return msgspec.structs.replace(
                entry, faces=tuple(blank), source="", source_id=None, duration=None
            )
        return msgspec.structs.replace(entry, faces=tuple(blank)) if gone else entry
    if isinstance(entry, Reembedded):
        ids = {face for _, face in erased.faces}
        kept = [
            NewVector(face_id=f.face_id, prototype=b"", sureness=0.0) if f.face_id in ids else f
            for f in entry.faces
        ]
        return (
            msgspec.structs.replace(entry, faces=tuple(kept))
            if ids.intersection(f.face_id for f in kept)
            else entry
        )
    if isinstance(entry, Correction) and isinstance(entry.change, Divide):
        if entry.change.film_id not in erased.films or not entry.change.spots:
            return entry
        return msgspec.structs.replace(entry, change=msgspec.structs.replace(entry.change, spots=()))
    named = isinstance(entry, Correction) and isinstance(entry.change, Name) and entry.change.person_id
    if named in erased.people:
        return msgspec.structs.replace(entry, change=Name(person_id=named, label=None))
    return entry


def _erased(
    view: State, faces: list[int], people: list[str], films: tuple[str, ...], by: str, at: float
) -> Erased:
    left = {view.partition.root(home) for face in faces for home in view.partition.homes(face)}
    gone = {
        *people,
        *(person for person in left if not view.listed(person)),
    }  # whom the faces have left before
    groups = {name for person in gone for name in view.partition.group(view.partition.root(person))}
    return Erased(
        numbers=tuple(faces),
        faces=tuple(seen for face in faces for seen in view.nodes[face].seen),
        films=films,
        people=tuple(sorted(groups, key=view.partition.age)),
        by=by,
        at=at,
    )
