"""Client of one collection of known people, for asyncio: enrolling, naming, erasing and searching."""

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import msgspec

from schemas.collections import (
    EnrolledFace,
    EnrolRequest,
    KnownPerson,
    PeopleList,
    PersonSummary,
    RenameRequest,
)
from schemas.questions import SearchRequest, SearchResult

_JSON = {"Content-Type": "application/json"}


class AsyncCollection:
    """A collection of the service; `AsyncClient.collection` makes it.

    Args:
        fetch: sends a request and returns the body of the response.
    """

    def __init__(self, name: str, fetch: Callable[..., Awaitable[bytes]]) -> None:
        self._base = f"/faces/collections/{quote(name, safe='')}"
        self._fetch = fetch

    async def enrol(self, job_id: str, face_id: str, label: str) -> EnrolledFace:
        """Enrols a face of a completed job as a person's; the collection begins with its first face."""
        body = msgspec.json.encode(EnrolRequest(job_id=job_id, face_id=face_id, label=label))
        answer = await self._fetch("POST", f"{self._base}/faces", body=body, headers=_JSON)
        return msgspec.json.decode(answer, type=EnrolledFace)

    async def people(self) -> AsyncIterator[PersonSummary]:
        """Yields the people in the order of their enrolment."""
        query: dict[str, str] = {}
        while True:
            answer = await self._fetch("GET", f"{self._base}/people", query=query)
            page = msgspec.json.decode(answer, type=PeopleList)
            for person in page.people:
                yield person
            if page.after is None:
                return
            query = {"after": str(page.after)}

    async def person(self, person_id: str) -> KnownPerson:
        """Reads a person and the enrolled faces."""
        return msgspec.json.decode(await self._fetch("GET", self._person(person_id)), type=KnownPerson)

    async def rename(self, person_id: str, label: str) -> KnownPerson:
        """Gives a person another label."""
        body = msgspec.json.encode(RenameRequest(label=label))
        answer = await self._fetch("PATCH", self._person(person_id), body=body, headers=_JSON)
        return msgspec.json.decode(answer, type=KnownPerson)

    async def erase(self, person_id: str) -> None:
        """Erases a person, from results of jobs too."""
        await self._fetch("DELETE", self._person(person_id), retry=False)

    async def delete(self) -> None:
        """Deletes the collection, and its people from results of jobs."""
        await self._fetch("DELETE", self._base, retry=False)

    async def thumbnail(self, face_id: str) -> bytes:
        """Reads the picture of an enrolled face (JPEG)."""
        return await self._fetch("GET", f"{self._base}/faces/{quote(face_id, safe='')}/thumbnail")

    async def search(self, request: SearchRequest) -> SearchResult:
        """Searches for the person of a face: of an embedding, or a face of a completed job."""
        body = msgspec.json.encode(request)
        answer = await self._fetch("POST", f"{self._base}/search", body=body, headers=_JSON)
        return msgspec.json.decode(answer, type=SearchResult)

    async def search_photograph(self, photograph: bytes) -> SearchResult:
        """Searches for the person of the largest face of an encoded picture."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = await self._fetch("POST", f"{self._base}/search", body=photograph, headers=headers)
        return msgspec.json.decode(answer, type=SearchResult)

    def _person(self, person_id: str) -> str:
        return f"{self._base}/people/{quote(person_id, safe='')}"
