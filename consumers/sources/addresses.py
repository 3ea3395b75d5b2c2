"""Name resolution for requests to the outside: every address is checked before it is connected to."""

import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from schemas.addresses import AllowList

Lookup = Callable[[str, int, socket.AddressFamily], Awaitable[list[ResolveResult]]]


class CheckedResolver(AbstractResolver):
    """Looks a host up once for a connection, which then goes to an address that was checked: a name that means
    something else a moment later changes nothing.

    Args:
        lookup: resolves names, as the system does unless told otherwise.
    """

    def __init__(self, allowed: AllowList, lookup: Lookup) -> None:
        self._allowed = allowed
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port, family)
        for entry in found:
            self._allowed.check_address(ip_address(entry["host"].partition("%")[0]), host)
        return found

    async def close(self) -> None:
        """Nothing is held open."""


async def system_lookup(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    return await ThreadedResolver().resolve(host, port, family)
