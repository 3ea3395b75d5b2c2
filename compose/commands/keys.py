"""``faces keys create | list | revoke``: who may use the API, on the server of REDIS_URL."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.api_keys import NAME, ApiKey, ApiKeys, Scope
from schemas.store.connection import connect

DEFAULT: tuple[Scope, ...] = ("submit", "read")


def run(action: str, name: str, scopes: Sequence[Scope] | None, as_json: bool) -> int:
    """The exit status: 0 when it could be done."""
    if action == "create" and not NAME.fullmatch(name):
        sys.stderr.write(f"faces keys: {name!r} is no name: 1-64 letters, digits, _ and - (not first)\n")
        return 2
    return asyncio.run(_run(Settings.from_env(), action, name, scopes, as_json))


async def _run(
    settings: Settings, action: str, name: str, scopes: Sequence[Scope] | None, as_json: bool
) -> int:
    async with connect(settings.redis_url) as redis:
        keys = ApiKeys(redis, Partitions(settings.prefix, settings.partitions).home)
        match action:
            case "create":
                key = await keys.create(name, tuple(scopes or DEFAULT))
                if key is None:
                    return _no(f"there is a key {name} already; revoke it first")
                sys.stderr.write("This is the only time that the key is shown:\n")
                _say({"name": name, "key": key} if as_json else key)
            case "revoke":
                if not await keys.revoke(name):
                    return _no(f"there is no key {name}")
                if as_json:
                    _say({"name": name, "revoked": True})
            case _ if as_json:
                _say([_public(known) for known in await keys.all()])
            case _:
                table = Table("name", "scopes", "created")
                for known in await keys.all():
                    table.add_row(known.name, ", ".join(known.scopes), known.created_at)
                Console().print(table)
    return 0


def _public(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "scopes": key.scopes, "created_at": key.created_at}


def _say(told: Any) -> None:
    sys.stdout.write((told if isinstance(told, str) else msgspec.json.encode(told).decode()) + "\n")


def _no(why: str) -> int:
    sys.stderr.write(f"faces keys: {why}\n")
    return 1
