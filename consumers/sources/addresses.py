"""Name resolution for outgoing requests: checks every address before the connection."""

import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from schemas.addresses import AllowList

Lookup = Callable[[str, int, socket.AddressFamily], Awaitable[list[ResolveResult]]]


class CheckedResolver(AbstractResolver):
    """Resolves a host once per connection and refuses addresses that are not allowed.

    The connection goes to the address that was checked, which prevents DNS rebinding.
    """

    def __init__(self, allowed: AllowList, lookup: Lookup) -> None:
        self._allowed = allowed
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Returns the addresses of a host; raises NotAllowed when one of them is not allowed."""
        results = await self._lookup(host, port, family)
        for result in results:
            self._allowed.check_address(ip_address(result["host"].partition("%")[0]), host)
        return results

    async def close(self) -> None:
        """Does nothing: no resource is held."""


async def system_lookup(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Resolves a host as the operating system does."""
    return await ThreadedResolver().resolve(host, port, family)
