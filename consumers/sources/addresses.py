"""Which addresses in the network may be asked for a source: those that the operator lists, and no others.

An entry is a host (``media.example.org``), a domain with everything below it (``*.example.org``), either with a
port (``media.lan:8080``; without one the usual ports are meant), or a network (``192.168.7.0/24``, ``10.0.0.5``).
A host that is listed may still not lead to an address inside the network, unless that is listed as well.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from facecore.video import SourceError

USUAL_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is in use between networks (IANA's address space registry); the rest is for inside of one, old
ways to write IPv4, or not assigned."""

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int, socket.AddressFamily], Awaitable[list[ResolveResult]]]


class AllowList(msgspec.Struct, frozen=True):
    """Attributes: hosts: names with the port or 0 for the usual one; networks: addresses that may be connected to."""

    hosts: tuple[tuple[str, int], ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> "AllowList":
        """Raises ValueError for an entry that is neither a host nor a network."""
        hosts, networks = [], []
        for entry in entries:
            if (network := _network(entry)) is not None:
                networks.append(network)
            else:
                hosts.append(_host(entry))
        return cls(tuple(hosts), tuple(networks))

    def check(self, url: URL) -> None:
        """Raises SourceError unless the address may be asked, as far as its text tells."""
        if url.scheme not in USUAL_PORTS or url.host is None:
            raise SourceError(f"{_shown(url)} is not an http or https address.")
        if url.user is not None or url.password is not None:
            raise SourceError(f"{_shown(url)} carries a user name or password; those are not sent.")
        host = url.host.rstrip(".").lower()
        if (literal := _literal(host)) is not None:
            self.check_address(literal, host)
            if any(_embedded(literal) in network for network in self.networks):
                return
        port = 0 if url.port == USUAL_PORTS[url.scheme] else url.port
        if not any(port == allowed and _matches(host, name) for name, allowed in self.hosts):
            raise SourceError(f"{_shown(url)} is not on a host that may be asked (FACES_ALLOWED_HOSTS).")

    def check_address(self, address: Address, host: str) -> None:
        """Raises SourceError for an address inside the network that is not listed."""
        inner = _embedded(address)
        if any(inner in network or address in network for network in self.networks):
            return
        outside = inner in _UNICAST if isinstance(inner, IPv6Address) else not inner.is_multicast
        if not (outside and inner.is_global):
            raise SourceError(
                f"{host} leads to {address}, which is inside the network (FACES_ALLOWED_HOSTS)."
            )


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


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _host(entry: str) -> tuple[str, int]:
    host = re.fullmatch(r"((?:\*\.)?[A-Za-z0-9._-]+?)\.?(?::(\d{1,5}))?", entry)
    if host is None:
        raise ValueError(f"{entry!r} is neither a host nor a network")
    return host[1].lower(), int(host[2] or 0)


def _matches(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address


def _shown(url: URL) -> str:
    """The address without what might be secret in it."""
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.absolute else str(url)
