"""Which addresses in the network may be spoken to: those that the operator lists, and no others.

An entry is a host (``media.example.org``), a domain with everything below it (``*.example.org``), either with a
port (``media.lan:8080``; without one the usual ports are meant), or a network (``192.168.7.0/24``, ``10.0.0.5``).
A host that is listed may still not lead to an address inside the network, unless that is listed as well.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec
from yarl import URL

USUAL_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is in use between networks (IANA's address space registry); the rest is for inside of one, old
ways to write IPv4, or not assigned."""

Address = IPv4Address | IPv6Address


class NotAllowed(ValueError):
    """The operator does not allow the address; the text says which and why."""


class AllowList(msgspec.Struct, frozen=True):
    """Attributes:
    setting: the variable that the operator lists them in.
    hosts: names with the port or 0 for the usual one.
    networks: addresses that may be connected to.
    """

    setting: str
    hosts: tuple[tuple[str, int], ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str], setting: str = "FACES_ALLOWED_HOSTS") -> "AllowList":
        """Raises ValueError for an entry that is neither a host nor a network."""
        hosts, networks = [], []
        for entry in entries:
            if (network := _network(entry)) is not None:
                networks.append(network)
            else:
                hosts.append(_host(entry))
        return cls(setting, tuple(hosts), tuple(networks))

    def check(self, url: URL) -> None:
        """Raises NotAllowed unless the address may be asked, as far as its text tells."""
        if url.scheme not in USUAL_PORTS or url.host is None:
            raise NotAllowed(f"{_shown(url)} is not an http or https address.")
        if url.user is not None or url.password is not None:
            raise NotAllowed(f"{_shown(url)} carries a user name or password; those are not sent.")
        host = url.host.rstrip(".").lower()
        if (literal := _literal(host)) is not None:
            self.check_address(literal, host)
            if any(_embedded(literal) in network for network in self.networks):
                return
        port = 0 if url.port == USUAL_PORTS[url.scheme] else url.port
        if not any(port == allowed and _matches(host, name) for name, allowed in self.hosts):
            raise NotAllowed(f"{_shown(url)} is not on a host that may be asked ({self.setting}).")

    def check_address(self, address: Address, host: str) -> None:
        """Raises NotAllowed for an address inside the network that is not listed."""
        inner = _embedded(address)
        if any(inner in network or address in network for network in self.networks):
            return
        outside = inner in _UNICAST if isinstance(inner, IPv6Address) else not inner.is_multicast
        if not (outside and inner.is_global):
            raise NotAllowed(f"{host} leads to {address}, which is inside the network ({self.setting}).")


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
