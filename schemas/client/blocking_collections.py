"""Blocking client of one collection of known people."""

from collections.abc import Iterator

from schemas.client.collections import AsyncCollection
from schemas.client.loop import Loop
from schemas.collections import EnrolledFace, KnownPerson, PersonSummary
from schemas.questions import SearchRequest, SearchResult


class Collection:
    """`AsyncCollection`, blocking; `Client.collection` makes it."""

    def __init__(self, collection: AsyncCollection, loop: Loop) -> None:
        self._collection = collection
        self._loop = loop

    def enrol(self, job_id: str, face_id: str, label: str) -> EnrolledFace:
        """Enrols a face of a completed job as a person's; the collection begins with its first face."""
        return self._loop.run(self._collection.enrol(job_id, face_id, label))

    def people(self) -> Iterator[PersonSummary]:
        """Yields the people in the order of their enrolment."""
        return self._loop.iterate(self._collection.people())

    def person(self, person_id: str) -> KnownPerson:
        """Reads a person and the enrolled faces."""
        return self._loop.run(self._collection.person(person_id))

    def rename(self, person_id: str, label: str) -> KnownPerson:
        """Gives a person another label."""
        return self._loop.run(self._collection.rename(person_id, label))

    def erase(self, person_id: str) -> None:
        """Erases a person, from results of jobs too."""
        self._loop.run(self._collection.erase(person_id))

    def delete(self) -> None:
        """Deletes the collection, and its people from results of jobs."""
        self._loop.run(self._collection.delete())

    def thumbnail(self, face_id: str) -> bytes:
        """Reads the picture of an enrolled face (JPEG)."""
        return self._loop.run(self._collection.thumbnail(face_id))

    def search(self, request: SearchRequest) -> SearchResult:
        """Searches for the person of a face: of an embedding, or a face of a completed job."""
        return self._loop.run(self._collection.search(request))

    def search_photograph(self, photograph: bytes) -> SearchResult:
        """Searches for the person of the largest face of an encoded picture."""
        return self._loop.run(self._collection.search_photograph(photograph))
