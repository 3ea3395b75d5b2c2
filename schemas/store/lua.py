"""Lua scripts: loading their text, and calling them by hash, alone or many in one round trip.

A script is ``scripts/NAME.lua`` of a package, with the package's ``scripts/lib.lua`` in front. All keys of a call lie
in one slot of a cluster.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

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

    def command(self, whole: bool = False) -> tuple[Value, ...]:
        """The command: EVALSHA, or EVAL (`whole`), after which the server keeps the script."""
        head = ("EVAL", self.script.text) if whole else ("EVALSHA", self.script.sha)
        return (*head, len(self.keys), *self.keys, *self.args)


def load(package: str, name: str) -> Script:
    """Reads a script of a package."""
    folder = files(package) / "scripts"
    text = (folder / "lib.lua").read_text() + (folder / f"{name}.lua").read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


async def run(redis: Redis, call: Call) -> Any:
    """The reply to a call."""
    (reply,) = await run_all(redis, [call])
    if isinstance(reply, Exception):
        raise reply
    return reply


async def run_all(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    """The reply or the error of each call, in one round trip where the server has the scripts."""
    replies = await _pipeline(redis, calls, whole=False)
    missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missing:
        repeated = await _pipeline(redis, [calls[i] for i in missing], whole=True)
        for i, reply in zip(missing, repeated, strict=True):
            replies[i] = reply
    return replies


async def _pipeline(redis: Redis, calls: Sequence[Call], *, whole: bool) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*call.command(whole))
        return await pipe.execute(raise_on_error=False)
