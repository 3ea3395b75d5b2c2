"""A library in memory: applies the entries of its log, and returns what changes for readers."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from facecore.library.view import View
from schemas.divisions import Divisions
from schemas.library import (
    Correction,
    Divide,
    Entry,
    Erased,
    FilmEntry,
    Joined,
    LibraryFace,
    Reembedded,
    Undo,
    person_id,
)
from schemas.library_records import FaceRecord, FilmRecord, PersonRecord, Placed, Suggestion, job_of
from schemas.results import Evidence, PlacedBy
from schemas.store.libraries import Change, NewEntry, Position

MAX_SUGGESTIONS = 1000
"""Open questions that readers are shown, those whose answers settle most."""


class _Seen(NamedTuple):
    """What a person's record needs of a face."""

    film_id: str
    detections: int
    seconds: float
    pictures: int
    quality: float


class _First(NamedTuple):
    """Whom a face was placed with when its film was added; `founded`: it is the first face of that person."""

    person_id: str
    founded: bool


class Replica:
    """A copy of one library.

    Attributes:
        view: the persons.
        position: the last entry that is applied.
        pack: model pack of the latest film.
        reembedded: ids of the entries that hold vectors of another pack.
    """

    def __init__(self, created: str = "") -> None:
        self.view = View()
        self.position = Position(created)
        self.pack = ""
        self._faces: dict[str, _Seen] = {}
        self._placed: dict[str, str] = {}
        self._first: dict[str, _First] = {}
        self._films: dict[str, FilmRecord] = {}
        self._analyses: dict[str, list[str]] = {}
        self.reembedded: list[str] = []
        self._collections = set[str]()  # of known people whom the films show
        self._owners: dict[str, str] = {}  # name of a job in the ids of faces -> its film
        self._latest: dict[str, str] = {}  # job -> its name there, of the latest film with a job of that id
        self._suggestions: dict[bytes, float] = {}

    def has(self, film: FilmEntry) -> bool:
        """Whether this analysis of a film has been added."""
        known = self._films.get(film.film_id)
        return known is not None and (job_of(known.job_id), known.added) == (film.job_id, film.at)

    def named(self, film: FilmEntry) -> FilmEntry:
        """Returns a film whose faces have ids that those of no other film have."""
        name, number = film.job_id, 1
        while self._owners.get(name, film.film_id) != film.film_id:
            number += 1
            name = f"{film.job_id}~{number}"
        faces = [
            msgspec.structs.replace(face, face_id=f"{name}/{face.face_id.partition('/')[2]}")
            for face in film.faces
        ]
        return msgspec.structs.replace(film, job_id=name, faces=tuple(faces))

    def is_latest(self, name: str) -> bool:
        """Whether the job of a name is still the one with its id; the record of an earlier one is gone."""
        return self._latest.get(job_of(name)) == name

    def analyses(self, film_id: str) -> list[str]:
        """Ids of the entries of a film."""
        return self._analyses.get(film_id, [])

    def of_other_packs(self, pack: str, after: int = -1) -> Iterator[str]:
        """Yields the ids of the faces in the latest analyses whose vectors are of other model packs, by number.

        Args:
            after: number of the last face that is left out.
        """
        for number in range(after + 1, len(self.view.nodes)):
            if self._is_of_another(number, pack):
                yield self.view.nodes[number].face_id

    def is_of_another_pack(self, face_id: str, pack: str) -> bool:
        """Returns whether a face is in the latest analysis of its film, with a vector of another model pack."""
        number = self.view.numbers.get(face_id)
        return number is not None and self._is_of_another(number, pack)

    def _is_of_another(self, number: int, pack: str) -> bool:
        return self.view.nodes[number].current and self.view.vectors.pack(number) not in (None, pack)

    def follow(self, entries: Sequence[NewEntry]) -> None:
        """Applies entries that are stored already."""
        for entry_id, entry in entries:
            deque(self._apply(entry_id, entry), 0)
        deque(self.suggest(), 0)

    def apply(self, new: NewEntry, thumbnails: Mapping[str, bytes] = {}) -> list[Change]:
        """Applies a new entry; returns the changes of the stored view.

        Args:
            thumbnails: JPEG, of a film's faces, by the name of the face.
        """
        changes = list(self._apply(*new))
        if isinstance(new.entry, FilmEntry):
            for face in new.entry.faces:
                jpeg = thumbnails.get(face.face_id.partition("/")[2])
                if jpeg is not None:
                    changes.append(Change("thumbnails", "HSET", face.face_id, jpeg))
        return changes

    def suggest(self) -> Iterator[Change]:
        """Yields the changes of the open questions since the last call."""
        before, self._suggestions = self._suggestions, {}
        for one in self.view.suggestions(MAX_SUGGESTIONS):
            asked = Suggestion(
                face_id=one.face_id, other_face_id=one.other_face_id, probability=round(one.probability, 4)
            )
            self._suggestions[msgspec.json.encode(asked)] = one.gain
        for suggestion in before.keys() - self._suggestions.keys():
            yield Change("suggestions", "ZREM", suggestion)
        for suggestion, gain in self._suggestions.items():
            if before.get(suggestion) != gain:
                yield Change("suggestions", "ZADD", gain, suggestion)

    def _apply(self, entry_id: str, entry: Entry) -> Iterator[Change]:
        film_id = self._divided(entry)
        changed = self.view.apply(entry_id, entry)
        if film_id is not None:
            divisions = Divisions(revision=entry_id, divisions=self.view.divisions(film_id))
            yield Change("divisions", "HSET", film_id, msgspec.msgpack.encode(divisions))
        if isinstance(entry, Erased):
            for film_id in entry.films:
                yield Change("divisions", "HDEL", film_id)
        if isinstance(entry, FilmEntry) and (before := self._films.get(entry.film_id)) is not None:
            changed.faces.update(f"{before.job_id}/{face}" for face in before.faces)
        self.position = self.position._replace(last=entry_id)
        if isinstance(entry, Reembedded):
            self.reembedded.append(entry_id)
        if isinstance(entry, Correction):
            yield Change("corrections", "ZADD", 0, entry_id)
        if isinstance(entry, Joined):
            yield Change("joins", "ZADD", 0, entry_id)
        if isinstance(entry, FilmEntry):
            known = {face.known.collection for face in entry.faces if face.known}
            if not known <= self._collections:
                self._collections |= known
                yield Change("state", "HSET", "collections", ",".join(sorted(self._collections)).encode())
            earlier = {
                one.continues: self._first.pop(one.continues, None)
                for one in entry.placements
                if one.continues
            }
            for position, (face, placed) in enumerate(zip(entry.faces, entry.placements, strict=True)):
                first = _First(placed.person_id or person_id(entry_id, position), placed.person_id is None)
                self._first[face.face_id] = earlier.get(placed.continues or "") or first
                yield from self._add(entry.film_id, face)
            self._analyses.setdefault(entry.film_id, []).append(entry_id)
            yield from self._name(entry)
            if entry.source:
                self.pack = entry.pack
                self._films[entry.film_id] = FilmRecord(
                    job_id=entry.job_id,
                    source=entry.source,
                    source_id=entry.source_id,
                    pack=entry.pack,
                    duration=entry.duration,
                    added=entry.at,
                    faces=(),
                )
        for face_id in sorted(changed.faces):
            yield from self._place(face_id)
        for film in sorted(changed.films):
            yield from self._shelve(film)
        for person in sorted(changed.people):
            yield from self._describe(person)

    def _divided(self, entry: Entry) -> str | None:
        """Returns the film that an entry divides, or whose division it takes back."""
        change = entry.change if isinstance(entry, Correction) else None
        if isinstance(change, Undo):
            undone = self.view.undoable.get(change.entry_id)
            change = undone.change if isinstance(undone, Correction) else None
        return change.film_id if isinstance(change, Divide) else None

    def _add(self, film_id: str, face: LibraryFace) -> Iterator[Change]:
        if not face.prototype:
            return  # erased
        seconds = round(sum(seen.end - seen.start for seen in face.appearances), 3)
        record = FaceRecord(
            film_id=film_id,
            detections=face.detections,
            appearances=face.appearances,
            seconds=seconds,
            pictures=face.pictures,
        )
        self._faces[face.face_id] = _Seen(film_id, face.detections, seconds, len(face.pictures), face.quality)
        yield Change("faces", "HSET", face.face_id, msgspec.msgpack.encode(record))

    def _name(self, film: FilmEntry) -> Iterator[Change]:
        job_id = job_of(film.job_id)
        self._owners[film.job_id] = film.film_id
        self._latest[job_id] = film.job_id
        if film.job_id == job_id:
            yield Change("jobs", "HDEL", job_id)
        else:
            yield Change("jobs", "HSET", job_id, film.job_id)

    def _place(self, face_id: str) -> Iterator[Change]:
        face, before = self.view.face(face_id), self._placed.pop(face_id, None)
        if before is not None:
            yield Change("members", "ZREM", f"{before} {face_id}")
        if face is None or face.face_id != face_id or face_id not in self._faces:
            self._faces.pop(face_id, None)
            if face is None or face.face_id != face_id:
                self._first.pop(face_id, None)
            for key in ("faces", "placed", "thumbnails"):
                yield Change(key, "HDEL", face_id)
            return
        placed = Placed(
            person_id=face.person_id,
            evidence=Evidence(
                probability=round(face.probability, 6),
                similarity=None if face.similarity is None else round(face.similarity, 4),
                by=self._by(face_id, face.person_id),
            ),
        )
        self._placed[face_id] = face.person_id
        yield Change("placed", "HSET", face_id, msgspec.msgpack.encode(placed))
        yield Change("members", "ZADD", 0, f"{face.person_id} {face_id}")

    def _by(self, face_id: str, person: str) -> PlacedBy:
        """How a face came to be this person: as its film was added, or later."""
        first = self._first[face_id]
        there = self.view.person(first.person_id)
        return (
            "later" if there is None or there.person_id != person else "first" if first.founded else "faces"
        )

    def _shelve(self, film_id: str) -> Iterator[Change]:
        film, record = self.view.film(film_id), self._films.get(film_id)
        if film is None or record is None:
            self._films.pop(film_id, None)
            yield Change("films", "HDEL", film_id)
            yield Change("shelf", "ZREM", film_id)
            return
        names = tuple(face.partition("/")[2] for face in film.faces)
        self._films[film_id] = record = msgspec.structs.replace(record, faces=names)
        yield Change("films", "HSET", film_id, msgspec.msgpack.encode(record))
        yield Change("shelf", "ZADD", 0, film_id)

    def _describe(self, name: str) -> Iterator[Change]:
        person = self.view.person(name)
        if person is None or person.person_id != name:
            yield Change("people", "HDEL", name)
            yield Change("roll", "ZREM", name)
            yield Change("named", "ZREM", name)
            if person is None:
                yield Change("merged", "HDEL", name)
            else:
                yield Change("merged", "HSET", name, person.person_id)
            return
        # A face that is erased later in the log has no content any more.
        faces = [face for face in person.faces if face in self._faces]
        seen = [self._faces[face] for face in faces]
        best = max(zip((one.quality for one in seen), faces, strict=True), default=None)
        record = PersonRecord(
            label=person.label,
            known=person.known,
            hidden=person.hidden,
            portrait=best and best[1],
            faces=len(seen),
            films=len(person.films),
            detections=sum(one.detections for one in seen),
            seconds=round(sum(one.seconds for one in seen), 3),
            pictures=sum(one.pictures for one in seen),
        )
        yield Change("people", "HSET", name, msgspec.msgpack.encode(record))
        yield Change("roll", "ZADD", 0, name)
        if person.label is None and person.known is None:
            yield Change("named", "ZREM", name)
        else:
            yield Change("named", "ZADD", 0, name)
        yield Change("merged", "HDEL", name)
