"""Lua scripts: reading their text, and calling them by hash, alone or many in one round trip.

A script is ``scripts/NAME.lua`` of a package. In front of it are ``scripts/common.lua`` and
``scripts/fair_queue.lua`` of this package, and ``scripts/lib.lua`` of its own. All keys of a call lie in one
slot of a cluster.

A server that does not have a script is sent it with SCRIPT LOAD. Users of the server that run only known scripts lack
this right (compose.acl): they wait until another process has loaded the script (`ensure_loaded`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, NoScriptError

Value = bytes | str | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """Text of a script, and its SHA-1, by which the server keeps it."""

    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its keys and arguments."""

    script: Script
    keys: Sequence[bytes | str]
    args: Sequence[Value]

    def command(self) -> tuple[Value, ...]:
        """The command EVALSHA."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)


_known: dict[str, Script] = {}
"""The scripts of this process, by their SHA-1."""


def load(package: str, name: str) -> Script:
    """Reads a script of a package."""
    folder = files(package) / "scripts"
    ours = files(__package__) / "scripts"
    parts = ours / "common.lua", ours / "fair_queue.lua", folder / "lib.lua", folder / f"{name}.lua"
    text = "".join(part.read_text() for part in parts)
    script = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return _known.setdefault(script.sha, script)


async def ensure_loaded(redis: Redis) -> None:
    """Loads the scripts of this process that the server does not have."""
    present = await redis.script_exists(*_known)
    for script, there in zip(list(_known.values()), present, strict=True):
        if not there:
            await redis.script_load(script.text)


def flat(fields: Mapping[str, Any]) -> list[Any]:
    """Returns names and values in turn, as scripts take them."""
    return [part for pair in fields.items() for part in pair]


def milliseconds(seconds: float) -> int:
    """Returns whole milliseconds, as the server's times to live are."""
    return int(seconds * 1000)


async def run(redis: Redis, call: Call) -> Any:
    """The reply to a call."""
    (reply,) = await run_all(redis, [call])
    if isinstance(reply, Exception):
        raise reply
    return reply


async def run_all(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    """The reply or the error of each call, in one round trip where the server has the scripts."""
    replies = await _pipeline(redis, calls)
    missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missing and await _may_load(redis, {calls[i].script.sha: calls[i].script for i in missing}):
        repeated = await _pipeline(redis, [calls[i] for i in missing])
        for i, reply in zip(missing, repeated, strict=True):
            replies[i] = reply
    return replies


async def _may_load(redis: Redis, scripts: Mapping[str, Script]) -> bool:
    """Loads scripts; False when this user of the server may not."""
    try:
        for script in scripts.values():
            await redis.script_load(script.text)
    except NoPermissionError:
        return False
    return True


async def _pipeline(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*call.command())
        return await pipe.execute(raise_on_error=False)
