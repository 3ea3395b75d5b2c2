"""``faces dead list | show | replay | drop``: messages that were given up, on the server of REDIS_URL."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumers.runtime.connection import connect
from consumers.runtime.dead_letters import DeadLetter, drop, listed, replay, show
from schemas.names import Names
from schemas.settings import Settings, SettingsError


def run(action: str, letters: Sequence[str], reason: str | None, everything: bool, as_json: bool) -> int:
    """The exit status: 0 when every letter asked for was there, and done with what was asked."""
    try:
        return asyncio.run(_run(Settings.from_env(), action, letters, reason, everything, as_json))
    except (SettingsError, RedisError) as error:
        sys.stderr.write(f"faces dead: {error}\n")
        return 1


async def _run(
    settings: Settings, action: str, ids: Sequence[str], reason: str | None, everything: bool, as_json: bool
) -> int:
    dead_stream = Names(settings.prefix).dead
    redis = connect(settings.redis_url)
    try:
        if action == "list":
            _list(await listed(redis, dead_stream, reason=reason), as_json)
            return 0
        chosen = await _chosen(redis, dead_stream, ids, reason, everything)
        if chosen is None:
            return 1
        if action == "show":
            for letter in chosen:
                sys.stdout.write(msgspec.json.format(_json(letter)).decode() + "\n")
            return 0
        if action == "drop":
            count = await drop(redis, dead_stream, [letter.id for letter in chosen])
            sys.stdout.write(f"{count} dropped\n")
            return 0
        return await _replay(redis, dead_stream, chosen)
    finally:
        await redis.aclose()


async def _replay(redis: Redis, dead_stream: str, chosen: Sequence[DeadLetter]) -> int:
    status = 0
    for letter in chosen:
        told = await replay(redis, dead_stream, letter)
        if told != "sent":
            status = 1
        why = {"sent": "sent again", "missing": "gone already", "ended": "its job has ended; not sent"}[told]
        sys.stdout.write(f"{letter.id}: {why}\n")
    return status


async def _chosen(
    redis: Redis, dead_stream: str, ids: Sequence[str], reason: str | None, everything: bool
) -> list[DeadLetter] | None:
    """The letters meant; None, after saying so, when one of them is not there or none was named."""
    if everything or reason is not None:
        return await listed(redis, dead_stream, reason=reason)
    if not ids:
        sys.stderr.write("faces dead: name letters, or --reason TEXT, or --all\n")
        return None
    found = []
    for letter_id in ids:
        letter = await show(redis, dead_stream, letter_id)
        if letter is None:
            sys.stderr.write(f"faces dead: no letter {letter_id}\n")
            return None
        found.append(letter)
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
