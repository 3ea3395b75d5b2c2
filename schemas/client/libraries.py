"""Client of one library of people across films, for asyncio."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from schemas.library import Change
from schemas.library_view import (
    Applied,
    Companions,
    CorrectionRequest,
    Corrections,
    FilmAppearance,
    FilmPeople,
    LibraryEvent,
    LibraryFilm,
    LibraryFilms,
    LibraryInfo,
    LibraryPeople,
    LibraryPerson,
    LibrarySearchResult,
    LoggedCorrection,
    PersonAppearances,
    ReembedProgress,
    RegroupRequest,
    Suggestions,
)
from schemas.questions import SearchRequest

Page = TypeVar("Page", LibraryPeople, LibraryFilms, PersonAppearances, Corrections)


class AsyncLibrary:
    """A library of the service; `AsyncClient.library` makes it.

    Args:
        fetch: sends a request and returns the body of the response.
        follow: yields name and data of the server-sent events at a path, after an id.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[..., Awaitable[bytes]],
        follow: Callable[[str, str], AsyncIterator[tuple[str, str]]],
    ) -> None:
        self._base = f"/faces/libraries/{quote(name, safe='')}"
        self._fetch = fetch
        self._follow = follow

    async def info(self) -> LibraryInfo:
        """Reads how much is in the library."""
        return msgspec.json.decode(await self._fetch("GET", self._base), type=LibraryInfo)

    async def people(
        self, *, text: str = "", only: str | None = None, hidden: str = "no"
    ) -> AsyncIterator[LibraryPerson]:
        """Yields people, oldest first.

        Args:
            text: part of the label.
            only: "named" or "unnamed".
            hidden: "no", "only" or "all".
        """
        query = {"text": text, "hidden": hidden} | ({"only": only} if only else {})
        async for page in self._pages("/people", LibraryPeople, query):
            for person in page.people:
                yield person

    async def person(self, person_id: str) -> LibraryPerson:
        """Reads a person; the one that it was merged into, where it was."""
        return msgspec.json.decode(await self._fetch("GET", self._person(person_id)), type=LibraryPerson)

    async def appearances(self, person_id: str) -> AsyncIterator[FilmAppearance]:
        """Yields the films with a person, and when the person is in them."""
        path = self._person(person_id).removeprefix(self._base)
        async for page in self._pages(f"{path}/appearances", PersonAppearances, {}):
            for film in page.films:
                yield film

    async def together(self, person_id: str) -> Companions:
        """Reads who is in the same films as a person."""
        body = await self._fetch("GET", f"{self._person(person_id)}/together")
        return msgspec.json.decode(body, type=Companions)

    async def films(self, *people: str) -> AsyncIterator[LibraryFilm]:
        """Yields the films, those with all of these people."""
        query = {"people": ",".join(people)} if people else {}
        async for page in self._pages("/films", LibraryFilms, query):
            for film in page.films:
                yield film

    async def film(self, film_id: str, since: float = 0.0, until: float = 1e9) -> FilmPeople:
        """Reads who is in a film, between these seconds."""
        query = {"since": str(since), "until": str(until)}
        body = await self._fetch("GET", f"{self._base}/films/{quote(film_id, safe='')}", query=query)
        return msgspec.json.decode(body, type=FilmPeople)

    async def suggestions(self, limit: int = 100) -> Suggestions:
        """Reads which people may be one person, those first whose answer settles most."""
        body = await self._fetch("GET", f"{self._base}/suggestions", query={"limit": str(limit)})
        return msgspec.json.decode(body, type=Suggestions)

    async def correct(self, change: Change, correction_id: str | None = None) -> Applied | None:
        """Corrects the library; None when the correction is accepted and waits for a worker.

        Args:
            change: of `schemas.library`, such as ``Name(person_id=…, label="Ann")``.
            correction_id: corrections with the same one are applied once.
        """
        body = msgspec.json.encode(CorrectionRequest(change=change, correction_id=correction_id))
        answer = await self._fetch(
            "POST",
            f"{self._base}/corrections",
            body=body,
            headers={"Content-Type": "application/json"},
            retry=correction_id is not None,
        )
        return msgspec.json.decode(answer, type=Applied) if answer else None

    async def regroup(self, threshold: float | None = None) -> Applied | None:
        """Decides anew who the faces are; what was said about them holds. None: it waits for a worker.

        Args:
            threshold: least probability of a join.
        """
        answer = await self._fetch(
            "POST",
            f"{self._base}/regroup",
            body=msgspec.json.encode(RegroupRequest(threshold=threshold)),
            headers={"Content-Type": "application/json"},
        )
        return msgspec.json.decode(answer, type=Applied) if answer else None

    async def reembed(self) -> ReembedProgress | None:
        """Embeds the faces of other model packs anew, from their pictures; `info` says how far it is.

        None: it waits for a worker.
        """
        answer = await self._fetch("POST", f"{self._base}/reembed", retry=False)
        return msgspec.json.decode(answer, type=ReembedProgress) if answer else None

    async def corrections(self) -> AsyncIterator[LoggedCorrection]:
        """Yields the corrections, the latest first."""
        async for page in self._pages("/corrections", Corrections, {}):
            for correction in page.corrections:
                yield correction

    async def events(self, after: str = "") -> AsyncIterator[LibraryEvent]:
        """Yields what happens in the library, without end; reconnects and resumes when the connection breaks.

        Args:
            after: `entry_id` of the last event that is known; by default, events from now on.
        """
        async for _, data in self._follow(f"{self._base}/events", after):
            yield msgspec.json.decode(data, type=LibraryEvent)

    async def search(self, whom: SearchRequest | bytes) -> LibrarySearchResult:
        """Searches for a person.

        Args:
            whom: an embedding or a face of a job; or a picture, of which the largest face is searched for.
        """
        picture = isinstance(whom, bytes)
        body = await self._fetch(
            "POST",
            f"{self._base}/search",
            body=whom if isinstance(whom, bytes) else msgspec.json.encode(whom),
            headers={"Content-Type": "application/octet-stream" if picture else "application/json"},
        )
        return msgspec.json.decode(body, type=LibrarySearchResult)

    async def picture(self, address: str) -> bytes:
        """Reads a portrait or thumbnail (JPEG) by the address in a response."""
        return await self._fetch("GET", f"{self._base}/{address}")

    async def erase_person(self, person_id: str) -> None:
        """Erases a person, in the results of the library's jobs too."""
        await self._fetch("DELETE", self._person(person_id), retry=False)

    async def erase_film(self, film_id: str) -> None:
        """Erases a film, with its jobs."""
        await self._fetch("DELETE", f"{self._base}/films/{quote(film_id, safe='')}", retry=False)

    async def erase(self) -> None:
        """Erases the library, with the jobs of its films."""
        await self._fetch("DELETE", self._base, retry=False)

    def _person(self, person_id: str) -> str:
        return f"{self._base}/people/{quote(person_id, safe='')}"

    async def _pages(self, path: str, kind: type[Page], query: dict[str, Any]) -> AsyncIterator[Page]:
        while True:
            body = await self._fetch("GET", self._base + path, query=query)
            page = msgspec.json.decode(body, type=kind)
            yield page
            if page.next is None:
                return
            query = query | {"after": page.next}
