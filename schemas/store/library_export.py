"""A library as a table: one row for each appearance of a person in a film, or for each picture of an album."""

import csv
import io
from collections.abc import AsyncIterator

from schemas.library_view import LibraryPerson, PersonAppearances
from schemas.store.library_films import PER_READ
from schemas.store.library_reader import LibraryReader, comparable
from schemas.table_cells import cell

COLUMNS = (
    "person_id", "label", "hidden", "film_id", "source", "source_id", "face_id", "start", "end", "detections",
    "probability", "picture",
)  # fmt: skip


async def everyone(reader: LibraryReader, name: str, text: str = "") -> AsyncIterator[LibraryPerson]:
    """Yields all people of a library, oldest first.

    Args:
        text: part of the label, whatever its case; empty: people without a label too.
    """
    wanted, after = comparable(text), ""
    while True:
        page = await reader.people(
            name,
            PER_READ,
            after,
            named=True if text else None,
            matches=lambda one: wanted in comparable(one.label or ""),
        )
        for person in page.people:
            yield person
        if page.next is None:
            return
        after = page.next


async def all_appearances(reader: LibraryReader, name: str) -> AsyncIterator[PersonAppearances]:
    """Yields the films of each person, page by page."""
    async for person in everyone(reader, name):
        after = ""
        while True:
            page = await reader.appearances(name, person, PER_READ, after)
            yield page
            if page.next is None:
                break
            after = page.next


async def csv_lines(reader: LibraryReader, name: str) -> AsyncIterator[str]:
    """Yields the table as CSV (RFC 4180), some lines at a time."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    async for page in all_appearances(reader, name):
        person = page.person
        for film in page.films:
            places = [(None, None, number) for number in film.pictures]
            times = [(seen.start, seen.end, None) for seen in film.appearances]
            for start, end, picture in (*times, *places):
                rows.writerow(map(cell, (
                    person.person_id, person.label, person.hidden, film.film_id, film.source, film.source_id,
                    film.face_id, start, end, film.detections, film.evidence.probability, picture,
                )))  # fmt: skip
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    if rest := text.getvalue():
        yield rest
