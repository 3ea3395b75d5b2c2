"""``faces dead list | show | replay | drop``: messages that were given up, on the server of REDIS_URL."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.dead_letters import DeadLetter, drop, listed, replay, show
from schemas.store.jobs import Jobs

Found = tuple[str, DeadLetter]
"""A letter and the stream of its partition."""

WORDS = {
    "sent": "sent again",
    "dropped": "dropped",
    "missing": "gone already",
    "ended": "its job has ended; not sent (faces jobs again JOB_ID runs it anew)",
}


def run(action: str, letters: Sequence[str], reason: str | None, everything: bool, as_json: bool) -> int:
    """The exit status: 0 when every letter asked for was there, and done with what was asked."""
    return asyncio.run(_run(Settings.from_env(), action, letters, reason, everything, as_json))


async def _run(
    settings: Settings, action: str, ids: Sequence[str], reason: str | None, everything: bool, as_json: bool
) -> int:
    partitions = Partitions(settings.prefix, settings.partitions)
    streams = [names.dead for names in partitions.all]
    async with connect(settings.redis_url) as redis:
        if action == "list":
            found = [letter for stream in streams for letter in await listed(redis, stream, reason=reason)]
            _list(found, as_json)
            return 0
        chosen = await _chosen(redis, streams, ids, reason, everything)
        if chosen is None:
            return 1
        match action:
            case "show":
                _show([letter for _, letter in chosen], as_json)
                return 0
            case "drop":
                dropped = [await drop(redis, stream, [letter.id]) for stream, letter in chosen]
                outcomes = ["dropped" if count else "missing" for count in dropped]
            case _:
                jobs = Jobs(redis, partitions, settings)
                outcomes = [await replay(redis, stream, letter, jobs) for stream, letter in chosen]
        _tell({letter.id: told for (_, letter), told in zip(chosen, outcomes, strict=True)}, as_json)
        return 0 if set(outcomes) <= {"sent", "dropped"} else 1


def _tell(outcomes: dict[str, str], as_json: bool) -> None:
    """What became of each letter."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcomes).decode() + "\n")
        return
    for letter_id, outcome in outcomes.items():
        sys.stdout.write(f"{letter_id}: {WORDS[outcome]}\n")


def _show(letters: Sequence[DeadLetter], as_json: bool) -> None:
    if as_json:
        _list(letters, as_json)
        return
    for letter in letters:
        sys.stdout.write(msgspec.json.format(_json(letter)).decode() + "\n")


async def _chosen(
    redis: Redis, streams: Sequence[str], ids: Sequence[str], reason: str | None, everything: bool
) -> list[Found] | None:
    """The letters meant; None, after saying so, when one of them is not there or none was named."""
    if everything or reason is not None:
        return [
            (stream, letter) for stream in streams for letter in await listed(redis, stream, reason=reason)
        ]
    if not ids:
        sys.stderr.write("faces dead: name letters, or --reason TEXT, or --all\n")
        return None
    found: list[Found] = []
    for letter_id in ids:
        letters = [(stream, await show(redis, stream, letter_id)) for stream in streams]
        there = [(stream, letter) for stream, letter in letters if letter is not None]
        if not there:
            sys.stderr.write(f"faces dead: no letter {letter_id}\n")
            return None
        found += there
    return found


def _list(letters: Sequence[DeadLetter], as_json: bool) -> None:
    if as_json:
        sys.stdout.write("[" + ",".join(_json(letter).decode() for letter in letters) + "]\n")
        return
    table = Table()
    for name in ("letter", "given up", "stage", "job", "type", "tries", "reason"):
        table.add_column(name, overflow="fold")
    for letter in letters:
        when = datetime.fromtimestamp(letter.last, UTC).isoformat(timespec="seconds")
        cells = (letter.id, when, letter.stage, letter.job, letter.type, str(letter.attempts), letter.reason)
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


def _json(letter: DeadLetter) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(letter, str_keys=True, enc_hook=repr))
