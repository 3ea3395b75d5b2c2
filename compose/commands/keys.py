"""``faces keys create | revoke | list``: the API keys of a service."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compose import service
from compose.arguments import Commands, service_options
from compose.terminal import print_json, print_table
from schemas.names import Partitions

if TYPE_CHECKING:  # redis takes long to import
    from schemas.store.api_keys import ApiKeys, Scope

T = TypeVar("T")
DEFAULT_SCOPES: "tuple[Scope, ...]" = ("submit", "read")


def register(commands: Commands) -> None:
    """Adds ``faces keys`` and its actions."""
    keys = commands.add_parser("keys", help="create, revoke or list API keys")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    creation = actions.add_parser("create", help="make a key, print it once", parents=[service_options()])
    creation.add_argument("name", metavar="NAME")
    creation.add_argument(
        "--scope", action="append", choices=("submit", "read", "admin"), dest="scopes",
        help="may be given several times (default: submit and read); admin includes all",
    )  # fmt: skip
    creation.set_defaults(run=create)
    revocation = actions.add_parser("revoke", help="refuse a key from now on", parents=[service_options()])
    revocation.add_argument("name", metavar="NAME")
    revocation.set_defaults(run=revoke)
    listing = actions.add_parser("list", help="list names and scopes", parents=[service_options()])
    listing.set_defaults(run=list_keys)


def create(name: str, scopes: "Sequence[Scope] | None", data: Path | None, as_json: bool) -> int:
    """Makes and prints a key; returns the exit status."""
    from schemas.store.api_keys import NAME

    if not NAME.fullmatch(name):
        sys.stderr.write(
            f"faces keys: {name!r} cannot be a name: 1-64 letters, digits, _ and - (- not first)\n"
        )
        return 2
    granted = tuple(scopes or DEFAULT_SCOPES)
    key = asyncio.run(_with_keys(data, lambda keys: keys.create(name, granted)))
    if key is None:
        sys.stderr.write(f"faces keys: a key {name} exists already; revoke it first\n")
        return 1
    sys.stderr.write("The key is shown this once:\n")
    if as_json:
        print_json({"name": name, "key": key})
    else:
        sys.stdout.write(f"{key}\n")
    return 0


def revoke(name: str, data: Path | None, as_json: bool) -> int:
    """Deletes a key; returns the exit status."""
    if not asyncio.run(_with_keys(data, lambda keys: keys.revoke(name))):
        sys.stderr.write(f"faces keys: no key {name}\n")
        return 1
    if as_json:
        print_json({"name": name, "revoked": True})
    return 0


def list_keys(data: Path | None, as_json: bool) -> int:
    """Prints names and scopes; returns the exit status."""
    keys = asyncio.run(_with_keys(data, lambda keys: keys.all()))
    if as_json:
        print_json([{"name": k.name, "scopes": k.scopes, "created_at": k.created_at} for k in keys])
    else:
        rows = ((key.name, ", ".join(key.scopes), key.created_at) for key in keys)
        print_table(("name", "scopes", "created"), rows)
    return 0


async def _with_keys(data: Path | None, work: "Callable[[ApiKeys], Awaitable[T]]") -> T:
    """Connects to the server and does the work on its keys."""
    from schemas.store.api_keys import ApiKeys
    from schemas.store.connection import connect

    settings = service.settings(data)
    async with connect(settings.redis_url) as redis:
        return await work(ApiKeys(redis, Partitions(settings.prefix, settings.partitions).home))
