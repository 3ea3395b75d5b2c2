"""Answers questions about libraries from their stored views; pages are read in bounded steps."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from schemas.library import Correction, Erased, FilmEntry, Joined, decode_entry
from schemas.library_records import Placed, Suggestion, job_of
from schemas.library_view import (
    AskedSuggestion,
    Corrections,
    LibraryEvent,
    LibraryInfo,
    LibraryPeople,
    LibraryPerson,
    LoggedCorrection,
    ReembedProgress,
    Suggestions,
)
from schemas.store.job_record import rfc3339
from schemas.store.libraries import NewEntry
from schemas.store.library_films import PER_READ, FilmReader, thumbnail

MAX_SEARCHED = 20_000
"""Most people that are looked at for one page of a filtered list."""
NOBODY: dict[str, Any] = {"person_id": None, "label": None, "hidden": False, "evidence": None}
"""Fields of a face in a result that the library does not have."""


def comparable(text: str) -> str:
    """Returns a text without what a search does not tell apart: case, and how letters are composed (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold()


class LibraryReader(FilmReader):
    """Reads libraries: their size, people, questions and corrections."""

    async def version(self, name: str) -> str | None:
        """What changes with every film and correction, and with the known people whom the films show; None when there
        is no such library."""
        fields = ["created", "last", "collections"]
        values = await cast("Any", self._redis.hmget(self._names.library_keys(name).state, fields))
        created, last, collections = ((value or b"").decode() for value in values)
        if not created:
            return None
        version = [created, last]
        for collection in filter(None, collections.split(",")):
            state = self._names.collection(collection).state
            counters = await cast("Any", self._redis.hmget(state, ["epoch", "erased", "renamed"]))
            version += [(value or b"").decode() for value in counters]
        return "-".join(version)

    async def info(self, name: str) -> LibraryInfo | None:
        """A library's size; None when there is none of that name."""
        keys = self._names.library_keys(name)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.state, ["created", "last", "reembedding", "collections"])
            pipe.hlen(keys.people)
            pipe.zcard(keys.named)
            pipe.hlen(keys.faces)
            pipe.hlen(keys.films)
            pipe.zcard(keys.corrections)
            pipe.zcard(keys.suggestions)
            pipe.xlen(keys.inbox)
            (
                (created, last, reembedding, collections),
                people,
                named,
                faces,
                films,
                corrections,
                suggestions,
                waiting,
            ) = await pipe.execute()
        if created is None:
            return None
        return LibraryInfo(
            name=name,
            created_at=rfc3339(float(created)),
            version=f"{created.decode()}-{(last or b'').decode()}",
            people=people,
            named=await self._named(name) if collections else named,
            faces=faces,
            films=films,
            corrections=corrections,
            suggestions=suggestions,
            waiting=waiting,
            reembedding=msgspec.json.decode(reembedding, type=ReembedProgress) if reembedding else None,
        )

    async def _named(self, name: str) -> int:
        """How many people have a label, where known people of collections may have been erased there."""
        count, after = 0, ""
        while ids := await self._page(self._names.library_keys(name).named, after, PER_READ):
            count += sum(person.label is not None for person in (await self.persons(name, ids)).values())
            after = ids[-1]
        return count

    async def resolve(self, name: str, person_id: str) -> str | None:
        """The id of a person, or of the one that it was merged into; None when there is none."""
        keys = self._names.library_keys(name)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hexists(keys.people, person_id)
            pipe.hget(keys.merged, person_id)
            there, merged = await pipe.execute()
        return person_id if there else merged.decode() if merged else None

    async def person(self, name: str, person_id: str) -> LibraryPerson | None:
        """A person; None when there is none of that id, or when it was merged into another."""
        return (await self.persons(name, [person_id])).get(person_id)

    async def people(
        self,
        name: str,
        limit: int,
        after: str = "",
        *,
        named: bool | None = None,
        matches: Callable[[LibraryPerson], bool] = lambda _: True,
    ) -> LibraryPeople:
        """A page of the people, oldest first.

        Args:
            after: the last person of the page before.
            named: True: only people with a label; False: only those without; None: both.
            matches: further condition.
        """
        keys, found = self._names.library_keys(name), list[LibraryPerson]()
        place, searched = after, 0
        while searched < MAX_SEARCHED:
            ids = await self._page(keys.named if named else keys.roll, place, PER_READ)
            persons = await self.persons(name, ids)
            for person_id in ids:
                place = person_id
                person = persons.get(person_id)
                if person is None or named not in (None, person.label is not None) or not matches(person):
                    continue
                found.append(person)
                if len(found) == limit:
                    return LibraryPeople(people=found, next=place)
            searched += len(ids)
            if len(ids) < PER_READ:
                return LibraryPeople(people=found, next=None)
        return LibraryPeople(people=found, next=place)

    async def suggestions(self, name: str, limit: int) -> Suggestions:
        """The questions whose answers settle most."""
        keys = self._names.library_keys(name)
        stored = cast("list[bytes]", await self._redis.zrange(keys.suggestions, 0, limit - 1, desc=True))
        asked = [msgspec.json.decode(one, type=Suggestion) for one in stored]
        faces = sorted({face for one in asked for face in (one.face_id, one.other_face_id)})
        placed = await self._read(keys.placed, faces, Placed)
        persons = await self.persons(name, sorted({place.person_id for place in placed.values()}))
        seen = await self.seen(name, faces)

        def whose(face: str) -> LibraryPerson | None:
            return persons.get(placed[face].person_id) if face in placed else None

        return Suggestions(
            suggestions=[
                AskedSuggestion(
                    face_id=one.face_id,
                    other_face_id=one.other_face_id,
                    person=person,
                    other=other,
                    thumbnail=thumbnail(one.face_id),
                    other_thumbnail=thumbnail(one.other_face_id),
                    seen=seen[one.face_id],
                    other_seen=seen[one.other_face_id],
                    probability=one.probability,
                )
                for one in asked
                if (person := whose(one.face_id))
                and (other := whose(one.other_face_id))
                and {one.face_id, one.other_face_id} <= seen.keys()
            ],
            total=await self._redis.zcard(keys.suggestions),
        )

    async def corrections(self, name: str, limit: int, after: str = "") -> Corrections:
        """A page of the corrections and the automatic merges, the latest first.

        Args:
            after: the last entry of the page before.
        """
        keys = self._names.library_keys(name)
        start = f"({after}" if after else "+"
        both = [
            cast("list[bytes]", await self._redis.zrevrangebylex(key, start, "-", 0, limit))
            for key in (keys.corrections, keys.joins)
        ]
        ids = sorted((entry_id.decode() for listed in both for entry_id in listed), reverse=True)[:limit]
        contents = cast("list[bytes | None]", await self._redis.hmget(keys.entries, ids)) if ids else []
        entries = [
            (one, decode_entry(content)) for one, content in zip(ids, contents, strict=True) if content
        ]
        return Corrections(
            corrections=[
                LoggedCorrection(
                    entry_id=one,
                    at=rfc3339(entry.at),
                    by="" if isinstance(entry, Joined) else entry.by,
                    change=entry if isinstance(entry, Joined) else entry.change,
                )
                for one, entry in entries
                if isinstance(entry, Correction | Joined)
            ],
            next=ids[-1] if len(ids) == limit else None,
        )

    async def who(self, name: str, faces: Sequence[str]) -> dict[str, tuple[LibraryPerson, Placed]]:
        """Who these faces are; a face that the library does not have is left out."""
        placed = await self._read(self._names.library_keys(name).placed, faces, Placed)
        persons = await self.persons(name, sorted({place.person_id for place in placed.values()}))
        return {
            face: (persons[place.person_id], place)
            for face, place in placed.items()
            if place.person_id in persons
        }

    async def who_of(
        self, name: str, job_id: str, faces: Sequence[str]
    ) -> dict[str, tuple[LibraryPerson, Placed]]:
        """Who the faces of a job's result are, by their ids there."""
        keys = self._names.library_keys(name)
        named = cast("bytes | None", await self._redis.hget(keys.jobs, job_id))
        job = named.decode() if named else job_id
        known = await self.who(name, [f"{job}/{face}" for face in faces])
        return {face.partition("/")[2]: found for face, found in known.items()}

    async def thumbnails(self, name: str, faces: Sequence[str]) -> dict[str, bytes]:
        """The pictures (JPEG) of these faces, of those that have one."""
        found = (
            await self._redis.hmget(self._names.library_keys(name).thumbnails, list(faces)) if faces else []
        )
        pictures = zip(faces, cast("list[bytes | None]", found), strict=True)
        return {face: picture for face, picture in pictures if picture is not None}

    async def fields_of(self, name: str, job_id: str, faces: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a result says of each of its faces: who it is in the library now."""
        fields = {face: dict(NOBODY) for face in faces}
        for face, (person, placed) in (await self.who_of(name, job_id, faces)).items():
            fields[face] = {
                "person_id": person.person_id,
                "label": person.label,
                "hidden": person.hidden,
                "evidence": placed.evidence,
            }
        return fields

    async def event(self, name: str, new: NewEntry) -> LibraryEvent:
        """What those who follow a library are sent of an entry."""
        entry_id, entry = new
        match entry:
            case FilmEntry():
                who = await self.who(name, [face.face_id for face in entry.faces])
                return LibraryEvent(
                    kind="film",
                    entry_id=entry_id,
                    film_id=entry.film_id,
                    job_id=job_of(entry.job_id),
                    people=sorted({person.person_id for person, _ in who.values()}),
                )
            case Correction(change=change):
                return LibraryEvent(kind="correction", entry_id=entry_id, change=change)
            case Joined():
                return LibraryEvent(
                    kind="joined", entry_id=entry_id, people=[entry.person_id, entry.other_id]
                )
            case Erased():
                return LibraryEvent(kind="erased", entry_id=entry_id, people=list(entry.people))
            case _:
                return LibraryEvent(kind="resolved", entry_id=entry_id)

    async def thumbnail(self, name: str, face: str) -> bytes | None:
        """The picture of a face (JPEG); None when there is none."""
        return cast("bytes | None", await self._redis.hget(self._names.library_keys(name).thumbnails, face))
