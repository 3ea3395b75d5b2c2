"""``faces dead list | show | replay | drop``: the dead letters of a service."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from compose import service
from compose.arguments import Commands, service_options
from compose.terminal import print_json, print_table
from schemas.names import Partitions
from schemas.settings import Settings

if TYPE_CHECKING:  # redis takes long to import
    from redis.asyncio import Redis

    from schemas.store.dead_letters import DeadLetter

Found: TypeAlias = "tuple[str, DeadLetter]"
"""A letter and the stream of its partition."""

OUTCOMES = {
    "sent": "sent again",
    "dropped": "dropped",
    "missing": "no longer there",
    "ended": "not sent, its job has ended (faces jobs again JOB_ID submits it as a new job)",
}


def register(commands: Commands) -> None:
    """Adds ``faces dead`` and its actions."""
    dead = commands.add_parser("dead", help="list, show, replay or drop dead letters")
    actions = dead.add_subparsers(required=True, metavar="ACTION")
    oldest = actions.add_parser("list", help="list dead letters, oldest first", parents=[service_options()])
    oldest.set_defaults(run=list_letters)
    for action, text in (
        ("show", "print all fields, with the error and its traceback"),
        ("replay", "send to their stages again"),
        ("drop", "delete for good"),
    ):
        parser = actions.add_parser(action, help=text, parents=[service_options()])
        parser.add_argument(
            "letter_ids", nargs="*", metavar="LETTER", help="id, as faces dead list prints it"
        )
        parser.add_argument("--all", action="store_true", dest="all_letters", help="every letter")
        parser.set_defaults(run=run, action=action)
    for parser in actions.choices.values():
        parser.add_argument("--reason", metavar="TEXT", help="letters whose reason contains TEXT")


def list_letters(reason: str | None, data: Path | None, as_json: bool) -> int:
    """Prints the dead letters; returns the exit status."""
    letters = asyncio.run(_list(service.settings(data), reason))
    if as_json:
        _print_json(letters)
        return 0
    rows = ((letter.id, letter.stage, letter.job, letter.reason) for letter in letters)
    print_table(("letter", "stage", "job", "why it was given up"), rows)
    return 0


def run(
    action: str,
    letter_ids: Sequence[str],
    reason: str | None,
    all_letters: bool,
    data: Path | None,
    as_json: bool,
) -> int:
    """Applies the action to the letters chosen, prints the outcomes.

    Returns:
        Exit status: 0 when it could be done for every letter.
    """
    return asyncio.run(_run(service.settings(data), action, letter_ids, reason, all_letters, as_json))


async def _list(settings: Settings, reason: str | None) -> "list[DeadLetter]":
    from schemas.store.connection import connect
    from schemas.store.dead_letters import listed

    async with connect(settings.redis_url) as redis:
        return [
            letter
            for names in Partitions(settings.prefix, settings.partitions).all
            for letter in await listed(redis, names.dead, reason=reason)
        ]


async def _run(
    settings: Settings, action: str, ids: Sequence[str], reason: str | None, all_letters: bool, as_json: bool
) -> int:
    from schemas.store.connection import connect
    from schemas.store.dead_letters import drop, replay
    from schemas.store.jobs import Jobs

    partitions = Partitions(settings.prefix, settings.partitions)
    async with connect(settings.redis_url) as redis:
        found = await _find(redis, partitions, ids, reason, all_letters)
        if found is None:
            return 1
        match action:
            case "show":
                _show([letter for _, letter in found], as_json)
                return 0
            case "drop":
                dropped = [await drop(redis, stream, [letter.id]) for stream, letter in found]
                outcomes = ["dropped" if count else "missing" for count in dropped]
            case _:
                jobs = Jobs(redis, partitions, settings)
                outcomes = [await replay(redis, stream, letter, jobs) for stream, letter in found]
    by_id = {letter.id: outcome for (_, letter), outcome in zip(found, outcomes, strict=True)}
    if as_json:
        print_json(by_id)
    else:
        for letter_id, outcome in by_id.items():
            sys.stdout.write(f"{letter_id}: {OUTCOMES[outcome]}\n")
    return 0 if set(outcomes) <= {"sent", "dropped"} else 1


async def _find(
    redis: "Redis", partitions: Partitions, ids: Sequence[str], reason: str | None, all_letters: bool
) -> list[Found] | None:
    """The letters chosen by the arguments; None, after an error message, when one is missing or none is named."""
    from schemas.store.dead_letters import listed, show

    streams = [names.dead for names in partitions.all]
    if all_letters or reason is not None:
        return [
            (stream, letter) for stream in streams for letter in await listed(redis, stream, reason=reason)
        ]
    if not ids:
        sys.stderr.write("faces dead: give LETTER ids, --reason TEXT or --all\n")
        return None
    found: list[Found] = []
    for letter_id in ids:
        letters = [(stream, await show(redis, stream, letter_id)) for stream in streams]
        matches = [(stream, letter) for stream, letter in letters if letter is not None]
        if not matches:
            sys.stderr.write(f"faces dead: no letter {letter_id}\n")
            return None
        found += matches
    return found


def _show(letters: "Sequence[DeadLetter]", as_json: bool) -> None:
    if as_json:
        _print_json(letters)
        return
    for letter in letters:
        sys.stdout.write(msgspec.json.format(_json(letter)).decode() + "\n")


def _print_json(letters: "Sequence[DeadLetter]") -> None:
    print_json([msgspec.Raw(_json(letter)) for letter in letters])


def _json(letter: "DeadLetter") -> bytes:
    """The letter as JSON; bytes that JSON cannot hold as their Python literal."""
    return msgspec.json.encode(msgspec.to_builtins(letter, str_keys=True, enc_hook=repr))
