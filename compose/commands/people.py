"""``faces people list | show | name | merge | split | hide | search | export``: the people of a library."""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from compose.arguments import DEFAULT_LIBRARY, Commands, service_options
from compose.failures import sentence
from compose.terminal import counted, print_json, print_table
from schemas.library import Change, Correction, Hide, Merge, Name, Split
from schemas.library_view import FilmAppearance, LibraryPerson
from schemas.settings import Settings

if TYPE_CHECKING:  # redis and the models take long to import
    from compose.local_library import LocalLibrary


class NoPerson(Exception):
    """The library has no such person, or several."""


def register(commands: Commands) -> None:
    """Adds ``faces people`` and its actions."""
    people = commands.add_parser(
        "people", help="the people of a library: list, name, merge, split, hide, find"
    )
    actions = people.add_subparsers(required=True, metavar="ACTION")
    options = argparse.ArgumentParser(add_help=False, parents=[service_options()])
    options.add_argument(
        "--library",
        metavar="NAME",
        help=f"name of the library (default: FACES_LIBRARY, else {DEFAULT_LIBRARY})",
    )

    def action(name: str, text: str, run: Callable[..., int]) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, parents=[options])
        parser.set_defaults(run=run)
        return parser

    listed = action("list", "list people, oldest first", list_people)
    listed.add_argument("--text", default="", help="part of the name")
    listed.add_argument("--all", action="store_true", dest="everyone", help="hidden people too")
    action("show", "in which films a person is, and when", show).add_argument("person", help="id or name")
    named = action("name", "give a person a name", name)
    named.add_argument("person", help="id or name")
    named.add_argument("label", help="the name; an empty one takes it away")
    merged = action("merge", "two people are one", merge)
    merged.add_argument("person", help="id or name")
    merged.add_argument("other", help="id or name")
    parted = action("split", "some faces of a person are another person", split)
    parted.add_argument("person", help="id or name")
    parted.add_argument("faces", nargs="+", metavar="FACE", help="JOB/face_N, as `show` lists them")
    hidden = action("hide", "a person is of no interest", hide)
    hidden.add_argument("person", help="id or name")
    hidden.add_argument("--show", action="store_true", dest="shown", help="is of interest again")
    action("search", "who is on a photograph (needs a running service)", search).add_argument(
        "photograph", type=Path
    )
    action(
        "export",
        "every appearance of every person as CSV; with --json the films of each",
        export,
    )


def list_people(library: str | None, data: Path | None, text: str, everyone: bool, as_json: bool) -> int:
    """Prints the people; returns the exit status."""

    async def work(local: "LocalLibrary") -> int:
        found = [one for one in await _everyone(local, text) if everyone or not one.hidden]
        if as_json:
            print_json(found)
            return 0
        print_table(
            ("person", "name", "films", "seconds", "pictures", "detections"),
            (
                (one.person_id, (one.label or "") + (" (hidden)" if one.hidden else ""), str(one.films),
                 f"{one.seconds:.1f}", str(one.pictures), str(one.detections))
                for one in found
            ),
        )  # fmt: skip
        return 0

    return _run(library, data, work)


def show(library: str | None, data: Path | None, person: str, as_json: bool) -> int:
    """Prints the films of a person; returns the exit status."""

    async def work(local: "LocalLibrary") -> int:
        seen = await local.reader.appearances(local.name, await _find(local, person), 100_000)
        if as_json:
            print_json(seen)
            return 0
        print_table(
            ("film", "face", "seconds", "when", "probability"),
            (
                (one.source, one.face_id, "" if one.pictures else f"{one.seconds:.1f}", _when(one),
                 f"{one.evidence.probability:.4f}")
                for one in seen.films
            ),
        )  # fmt: skip
        return 0

    return _run(library, data, work)


def name(library: str | None, data: Path | None, person: str, label: str, as_json: bool) -> int:
    """Names a person; returns the exit status."""
    return _correct(library, data, [person], lambda ids: Name(person_id=ids[0], label=label or None), as_json)


def merge(library: str | None, data: Path | None, person: str, other: str, as_json: bool) -> int:
    """Merges two people; returns the exit status."""
    return _correct(
        library, data, [person, other], lambda ids: Merge(person_id=ids[0], other_id=ids[1]), as_json
    )


def split(library: str | None, data: Path | None, person: str, faces: Sequence[str], as_json: bool) -> int:
    """Makes a person of some faces of another; returns the exit status."""
    return _correct(library, data, [person], lambda ids: Split(person_id=ids[0], faces=tuple(faces)), as_json)


def hide(library: str | None, data: Path | None, person: str, shown: bool, as_json: bool) -> int:
    """Hides a person; returns the exit status."""
    return _correct(library, data, [person], lambda ids: Hide(person_id=ids[0], hidden=not shown), as_json)


def search(library: str | None, data: Path | None, photograph: Path, as_json: bool) -> int:
    """Prints who is on a photograph; returns the exit status."""

    async def work(local: "LocalLibrary") -> int:
        found = await local.search(photograph.read_bytes())
        if as_json:
            print_json(found)
            return 0
        print_table(
            ("person", "name", "similarity", "probability", "face"),
            (
                (one.person.person_id, one.person.label or "", f"{one.similarity:.3f}",
                 f"{one.probability:.4f}", one.face_id)
                for one in found.matches
            ),
        )  # fmt: skip
        return 0 if found.matches else 1

    return _run(library, data, work)


def export(library: str | None, data: Path | None, as_json: bool) -> int:
    """Writes a row for every appearance; returns the exit status."""

    async def work(local: "LocalLibrary") -> int:
        from schemas.store.library_export import all_appearances, csv_lines

        if as_json:
            async for page in all_appearances(local.reader, local.name):
                print_json(page)
        else:
            async for lines in csv_lines(local.reader, local.name):
                sys.stdout.write(lines)
        return 0

    return _run(library, data, work)


def _when(seen: FilmAppearance) -> str:
    if seen.pictures:
        return (
            f"in {counted(len(seen.pictures), 'picture', 'pictures')}: {', '.join(map(str, seen.pictures))}"
        )
    return ", ".join(f"{one.start:.1f}-{one.end:.1f}" for one in seen.appearances)


def _run(library: str | None, data: Path | None, work: "Callable[[LocalLibrary], Awaitable[int]]") -> int:
    from redis.exceptions import RedisError

    from compose.local_library import local_library
    from compose.service import NoService
    from compose.supervisor import ProcessFailed
    from schemas.settings import SettingsError

    async def running() -> int:
        settings = Settings.from_env()
        async with local_library(settings, library or settings.library or DEFAULT_LIBRARY, data) as local:
            if await local.reader.version(local.name) is None:
                raise NoPerson(f"there is no library {local.name!r}")
            return await work(local)

    try:
        return asyncio.run(running())
    except BrokenPipeError:  # `… | head`
        raise
    except (NoPerson, NoService, SettingsError, ProcessFailed, RedisError, OSError) as error:
        sys.stderr.write(f"faces people: {sentence(error, data or 'the data directory')}\n")
        return 1


def _correct(
    library: str | None,
    data: Path | None,
    people: Sequence[str],
    change: Callable[[Sequence[str]], Change],
    as_json: bool,
) -> int:
    from compose.local_library import user_name

    async def work(local: "LocalLibrary") -> int:
        ids = [(await _find(local, one)).person_id for one in people]
        try:
            said = msgspec.json.decode(msgspec.json.encode(change(ids)), type=Change)
        except UnicodeEncodeError as error:
            raise NoPerson("the name is not UTF-8") from error
        except msgspec.ValidationError as error:
            raise NoPerson(str(error)) from error
        order = Correction(
            correction_id=secrets.token_hex(12), change=said, by=user_name(), at=round(time.time(), 3)
        )
        answer = await local.order(order)
        if answer.status >= 400:
            raise NoPerson(answer.detail)
        if as_json:
            print_json(answer.body)
        return 0

    return _run(library, data, work)


async def _everyone(local: "LocalLibrary", text: str) -> list[LibraryPerson]:
    from schemas.store.library_export import everyone

    return [person async for person in everyone(local.reader, local.name, text)]


async def _find(local: "LocalLibrary", person: str) -> LibraryPerson:
    """The person with this id, or name."""
    person_id = await local.reader.resolve(local.name, person)
    if person_id is not None and (known := await local.reader.person(local.name, person_id)) is not None:
        return known
    named = [one for one in await _everyone(local, person) if one.label == person] if person else []
    if len(named) != 1:
        several = ", ".join(one.person_id for one in named)
        raise NoPerson(
            f"{len(named)} people are named {person!r}: {several}; give the id" if named
            else f"library {local.name!r} has no person {person!r}"
        )  # fmt: skip
    return named[0]
