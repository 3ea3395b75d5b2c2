"""Blocking client of one library of people across films."""

from collections.abc import Iterator

from schemas.client.libraries import AsyncLibrary
from schemas.client.loop import Loop
from schemas.library import Change
from schemas.library_view import (
    Applied,
    Companions,
    FilmAppearance,
    FilmPeople,
    LibraryEvent,
    LibraryFilm,
    LibraryInfo,
    LibraryPerson,
    LibrarySearchResult,
    LoggedCorrection,
    ReembedProgress,
    Suggestions,
)
from schemas.questions import SearchRequest


class Library:
    """`AsyncLibrary`, blocking; `Client.library` makes it."""

    def __init__(self, library: AsyncLibrary, loop: Loop) -> None:
        self._library = library
        self._loop = loop

    def info(self) -> LibraryInfo:
        """Reads how much is in the library."""
        return self._loop.run(self._library.info())

    def people(
        self, *, text: str = "", only: str | None = None, hidden: str = "no"
    ) -> Iterator[LibraryPerson]:
        """Yields people, oldest first; see `AsyncLibrary.people`."""
        return self._loop.iterate(self._library.people(text=text, only=only, hidden=hidden))

    def person(self, person_id: str) -> LibraryPerson:
        """Reads a person; the one that it was merged into, where it was."""
        return self._loop.run(self._library.person(person_id))

    def appearances(self, person_id: str) -> Iterator[FilmAppearance]:
        """Yields the films with a person, and when the person is in them."""
        return self._loop.iterate(self._library.appearances(person_id))

    def together(self, person_id: str) -> Companions:
        """Reads who is in the same films as a person."""
        return self._loop.run(self._library.together(person_id))

    def films(self, *people: str) -> Iterator[LibraryFilm]:
        """Yields the films, those with all of these people."""
        return self._loop.iterate(self._library.films(*people))

    def film(self, film_id: str, since: float = 0.0, until: float = 1e9) -> FilmPeople:
        """Reads who is in a film, between these seconds."""
        return self._loop.run(self._library.film(film_id, since, until))

    def suggestions(self, limit: int = 100) -> Suggestions:
        """Reads which people may be one person, those first whose answer settles most."""
        return self._loop.run(self._library.suggestions(limit))

    def correct(self, change: Change, correction_id: str | None = None) -> Applied | None:
        """Corrects the library; see `AsyncLibrary.correct`."""
        return self._loop.run(self._library.correct(change, correction_id))

    def regroup(self, threshold: float | None = None) -> Applied | None:
        """Decides anew who the faces are; see `AsyncLibrary.regroup`."""
        return self._loop.run(self._library.regroup(threshold))

    def reembed(self) -> ReembedProgress | None:
        """Embeds the faces of other model packs anew; see `AsyncLibrary.reembed`."""
        return self._loop.run(self._library.reembed())

    def corrections(self) -> Iterator[LoggedCorrection]:
        """Yields the corrections, the latest first."""
        return self._loop.iterate(self._library.corrections())

    def events(self, after: str = "") -> Iterator[LibraryEvent]:
        """Yields what happens in the library, without end; see `AsyncLibrary.events`."""
        return self._loop.iterate(self._library.events(after))

    def search(self, whom: SearchRequest | bytes) -> LibrarySearchResult:
        """Searches for a person; see `AsyncLibrary.search`."""
        return self._loop.run(self._library.search(whom))

    def picture(self, address: str) -> bytes:
        """Reads a portrait or thumbnail (JPEG) by the address in a response."""
        return self._loop.run(self._library.picture(address))

    def erase_person(self, person_id: str) -> None:
        """Erases a person, in the results of the library's jobs too."""
        self._loop.run(self._library.erase_person(person_id))

    def erase_film(self, film_id: str) -> None:
        """Erases a film, with its jobs."""
        self._loop.run(self._library.erase_film(film_id))

    def erase(self) -> None:
        """Erases the library, with the jobs of its films."""
        self._loop.run(self._library.erase())
