"""Reads what is stored of a library's films: who is in them, when, and with whom."""

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis

from schemas.library import KnownAs
from schemas.library_records import FaceRecord, FilmRecord, PersonRecord, Placed, job_of
from schemas.library_view import (
    Companion,
    Companions,
    FilmAppearance,
    FilmPeople,
    FilmPerson,
    LibraryFilm,
    LibraryFilms,
    LibraryPerson,
    PersonAppearances,
)
from schemas.names import LibraryKeys, Names
from schemas.results import Appearance
from schemas.store.job_record import rfc3339

PER_READ = 1000
"""Records that are read in one round trip."""
MAX_FILMS = 1000
"""Most films that are looked at for the companions of a person."""
Record = TypeVar("Record", PersonRecord, FaceRecord, Placed, FilmRecord)


class FilmReader:
    """Reads films of libraries, and the people in them.

    Args:
        redis: client with ``decode_responses=False``.
        names: of the home partition.
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def persons(self, name: str, ids: Sequence[str]) -> dict[str, LibraryPerson]:
        """The people of these ids who exist."""
        records = await self._read(self._names.library_keys(name).people, ids, PersonRecord)
        named = await self._known({one.known for one in records.values() if one.known and not one.label})
        return {
            person: _person(person, record, named.get(record.known) if record.known else None)
            for person, record in records.items()
        }

    async def _known(self, people: Set[KnownAs]) -> dict[KnownAs, str]:
        """The labels of known people of collections; one who was erased has none."""
        found: dict[KnownAs, str] = {}
        for collection in sorted({one.collection for one in people}):
            some = [one for one in people if one.collection == collection]
            key = self._names.collection(collection).people
            labels = await cast("Any", self._redis.hmget(key, [one.person_id for one in some]))
            found |= {one: label.decode() for one, label in zip(some, labels, strict=True) if label}
        return found

    async def appearances(
        self, name: str, person: LibraryPerson, limit: int, after: str = ""
    ) -> PersonAppearances:
        """A page of a person's films, by face.

        Args:
            after: the last face of the page before.
        """
        faces = await self._faces_of(name, person.person_id, limit, after)
        seen = await self.seen(name, faces)
        return PersonAppearances(
            person=person,
            films=[seen[face] for face in faces if face in seen],
            next=faces[-1] if len(faces) == limit else None,
        )

    async def seen(self, name: str, faces: Sequence[str]) -> dict[str, FilmAppearance]:
        """Where and when each of these faces is in its film; a face that the library does not have is left out."""
        details, placed, films = await self._details(name, faces)
        return {
            face: FilmAppearance(
                film_id=details[face].film_id,
                job_id=job_of(face.partition("/")[0]),
                source=film.source,
                source_id=film.source_id,
                duration=film.duration,
                face_id=face,
                appearances=details[face].appearances,
                detections=details[face].detections,
                seconds=details[face].seconds,
                pictures=details[face].pictures,
                thumbnail=thumbnail(face),
                evidence=placed[face].evidence,
            )
            for face in faces
            if face in details and face in placed and (film := films.get(details[face].film_id))
        }

    async def films(self, name: str, limit: int, after: str = "", people: Sequence[str] = ()) -> LibraryFilms:
        """A page of the films, by id.

        Args:
            after: the last film of the page before.
            people: only films in which all of them are.
        """
        keys = self._names.library_keys(name)
        if people:
            together = [await self._films_of(name, person) for person in people]
            ids = sorted(film for film in set.intersection(*together) if film > after)[:limit]
        else:
            ids = await self._page(keys.shelf, after, limit)
        films = await self._read(keys.films, ids, FilmRecord)
        return LibraryFilms(
            films=[_film(film, films[film]) for film in ids if film in films],
            next=ids[-1] if len(ids) == limit else None,
        )

    async def film(self, name: str, film_id: str, since: float, until: float) -> FilmPeople | None:
        """The people of a film who are seen in a time range, of an album all; None when there is no such film."""
        keys = self._names.library_keys(name)
        record = (await self._read(keys.films, [film_id], FilmRecord)).get(film_id)
        if record is None:
            return None
        faces = [f"{record.job_id}/{face}" for face in record.faces]
        details, placed, _ = await self._details(name, faces)
        persons = await self.persons(name, sorted({place.person_id for place in placed.values()}))
        people = [
            FilmPerson(
                person=persons[placed[face].person_id],
                face_id=face,
                appearances=details[face].appearances,
                detections=details[face].detections,
                seconds=details[face].seconds,
                pictures=details[face].pictures,
                thumbnail=thumbnail(face),
                evidence=placed[face].evidence,
            )
            for face in faces
            if face in details
            and face in placed
            and placed[face].person_id in persons
            and (
                details[face].pictures  # which have no times
                or any(seen.start <= until and since <= seen.end for seen in details[face].appearances)
            )
        ]
        people.sort(key=lambda one: (-one.seconds, -one.detections, one.face_id))
        return FilmPeople(film=_film(film_id, record), people=people)

    async def together(self, name: str, person: LibraryPerson, limit: int) -> Companions:
        """Who is in the same films as a person, and for how long at the same time."""
        mine = await self._faces_of(name, person.person_id, MAX_FILMS, "")
        details, _, films = await self._details(name, mine)
        seconds, counts = defaultdict[str, float](float), defaultdict[str, set[str]](set)
        pictures = Counter[str]()
        ours = {details[face].film_id: details[face] for face in mine if face in details}
        for film_id, film in films.items():
            others = [f"{film.job_id}/{face}" for face in film.faces]
            theirs, placed, _ = await self._details(name, others)
            for face in others:
                if face in theirs and face in placed and placed[face].person_id != person.person_id:
                    other = placed[face].person_id
                    counts[other].add(film_id)
                    seconds[other] += overlap(ours[film_id].appearances, theirs[face].appearances)
                    pictures[other] += len({*ours[film_id].pictures} & {*theirs[face].pictures})
        ranked = sorted(counts, key=lambda one: (-seconds[one], -pictures[one], -len(counts[one]), one))[
            :limit
        ]
        persons = await self.persons(name, ranked)
        return Companions(
            person=person,
            together=[
                Companion(
                    person=persons[one],
                    films=len(counts[one]),
                    seconds=round(seconds[one], 3),
                    pictures=pictures[one],
                )
                for one in ranked
                if one in persons
            ],
            films=len(films),
            complete=len(mine) < MAX_FILMS,
        )

    async def _details(
        self, name: str, faces: Sequence[str]
    ) -> tuple[dict[str, FaceRecord], dict[str, Placed], dict[str, FilmRecord]]:
        keys: LibraryKeys = self._names.library_keys(name)
        details = await self._read(keys.faces, faces, FaceRecord)
        placed = await self._read(keys.placed, faces, Placed)
        films = await self._read(keys.films, sorted({face.film_id for face in details.values()}), FilmRecord)
        return details, placed, films

    async def _read(self, key: str, ids: Sequence[str], type_: type[Record]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        for start in range(0, len(ids), PER_READ):
            some = list(ids[start : start + PER_READ])
            values = cast("list[bytes | None]", await self._redis.hmget(key, some))
            found |= {
                one: msgspec.msgpack.decode(value, type=type_)
                for one, value in zip(some, values, strict=True)
                if value is not None
            }
        return found

    async def _page(self, key: str, after: str, limit: int) -> list[str]:
        start = f"({after}" if after else "-"
        ids = await self._redis.zrangebylex(key, start, "+", 0, limit)
        return [one.decode() for one in cast("list[bytes]", ids)]

    async def _faces_of(self, name: str, person: str, limit: int, after: str) -> list[str]:
        members = await self._redis.zrangebylex(
            self._names.library_keys(name).members,
            f"({person} {after}" if after else f"[{person} ",
            f"({person}!",  # the character after the space
            0,
            limit,
        )
        return [member.decode().partition(" ")[2] for member in cast("list[bytes]", members)]

    async def _films_of(self, name: str, person: str) -> set[str]:
        faces = await self._faces_of(name, person, -1, "")
        details = await self._read(self._names.library_keys(name).faces, faces, FaceRecord)
        return {face.film_id for face in details.values()}


def thumbnail(face: str) -> str:
    """Returns the address of the picture of a face, relative to that of the library."""
    return f"faces/{face}/thumbnail"


def overlap(one: Sequence[Appearance], other: Sequence[Appearance]) -> float:
    """Returns the seconds in which both appear."""
    return sum(max(0.0, min(a.end, b.end) - max(a.start, b.start)) for a in one for b in other)


def _person(person_id: str, record: PersonRecord, known: str | None) -> LibraryPerson:
    return LibraryPerson(
        person_id=person_id,
        label=record.label or known,
        known=record.known,
        hidden=record.hidden,
        portrait=record.portrait and thumbnail(record.portrait),
        faces=record.faces,
        films=record.films,
        detections=record.detections,
        seconds=record.seconds,
        pictures=record.pictures,
    )


def _film(film_id: str, record: FilmRecord) -> LibraryFilm:
    return LibraryFilm(
        film_id=film_id,
        job_id=job_of(record.job_id),
        source=record.source,
        source_id=record.source_id,
        duration=record.duration,
        model=record.pack,
        added_at=rfc3339(record.added),
        people=len(record.faces),
    )
