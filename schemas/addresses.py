"""Allow lists of network addresses: which hosts may be connected to.

An entry is a host (``media.example.org``), a domain with its subdomains (``*.example.org``), either with a port
(``media.lan:8080``; without one the scheme's default port), an address with a port (``127.0.0.1:9999``,
``[::1]:9999``), or a network (``192.168.7.0/24``, ``10.0.0.5``, ``::1``). A listed host may not resolve to an
internal address unless that is listed too (server-side request forgery).
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec
from yarl import URL

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65535
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
"""Global unicast addresses (IANA's IPv6 address space); the rest is internal, a form of IPv4, or unassigned."""

Address = IPv4Address | IPv6Address


class NotAllowed(ValueError):
    """The operator does not allow the address; the text says which and why."""


class AllowList(msgspec.Struct, frozen=True):
    """Hosts and networks that may be connected to.

    Attributes:
        setting: variable of the setting, for error texts.
        hosts: name and port of each host; port 0 means the scheme's default port.
        networks: addresses that may be connected to even if they are internal.
    """

    setting: str
    hosts: tuple[tuple[str, int], ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str], setting: str = "FACES_ALLOWED_HOSTS") -> "AllowList":
        """Parses the entries of a setting.

        Raises:
            ValueError: an entry is neither a host nor a network.
        """
        hosts, networks = [], []
        for entry in entries:
            if (network := _network(entry)) is not None:
                networks.append(network)
            else:
                hosts.append(_host(entry))
        return cls(setting, tuple(hosts), tuple(networks))

    def check(self, url: URL) -> None:
        """Checks scheme, host and port of a URL, without resolving the host.

        Raises:
            NotAllowed: the URL is not on an allowed host.
        """
        if url.scheme not in DEFAULT_PORTS or url.host is None:
            raise NotAllowed(f"{_shown(url)} is not an http or https address.")
        if url.user is not None or url.password is not None:
            raise NotAllowed(f"{_shown(url)} carries a user name or password; those are not sent.")
        host = url.host.rstrip(".").lower()
        ports = {url.port, 0} if url.port == DEFAULT_PORTS[url.scheme] else {url.port}
        if (literal := _literal(host)) is not None and (str(literal), url.port) not in self.hosts:
            self.check_address(literal, host)
            if any(_embedded(literal) in network for network in self.networks):
                return
        if not any(allowed in ports and _matches(host, name) for name, allowed in self.hosts):
            raise NotAllowed(f"{_shown(url)} is not on a host that may be asked ({self.setting}).")

    def check_address(self, address: Address, host: str) -> None:
        """Checks an address that a host resolves to.

        Raises:
            NotAllowed: the address is internal and not listed.
        """
        inner = _embedded(address)
        if any(inner in network or address in network for network in self.networks):
            return
        outside = inner in _UNICAST if isinstance(inner, IPv6Address) else not inner.is_multicast
        if not (outside and inner.is_global):
            raise NotAllowed(f"{host} leads to {address}, which is inside the network ({self.setting}).")


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    """Parses a network or an address, which may be in brackets; None: the entry is neither."""
    try:
        return ip_network(re.sub(r"^\[(.*)\]$", r"\1", entry), strict=False)
    except ValueError:
        return None


def _host(entry: str) -> tuple[str, int]:
    """Parses a host or an address, either with or without a port; the latter is 0 then."""
    parts = re.fullmatch(
        r"(?:\[([0-9A-Fa-f:.]+)\](?=:)|((?:\*\.)?[A-Za-z0-9._-]+?)\.?)(?::(\d{1,5}))?", entry
    )
    address, name, port = parts.groups() if parts else (None, None, None)
    host = name.lower() if name else str(_literal(address or "") or "")
    if not host or not (port is None or 1 <= int(port) <= MAX_PORT):
        raise ValueError(
            f"{entry!r} is neither a host nor a network: expected HOST, HOST:PORT, [ADDRESS]:PORT, ADDRESS or"
            " NETWORK/BITS, without http://"
        )
    return host, int(port or 0)


def _matches(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: Address) -> Address:
    """The IPv4 address embedded in an IPv6 one (NAT64, Teredo, mapped, 6to4), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address


def _shown(url: URL) -> str:
    """The URL without the parts that may contain secrets."""
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.absolute else str(url)
