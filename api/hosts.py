"""Checks of the Host and Origin headers while no keys are required (DNS rebinding, cross-site request forgery).

Without keys, a page of another website could use the API through a visitor's browser: with a domain name that leads
to this address, so that the browser takes the API for a part of that website
(https://owasp.org/www-community/attacks/DNS_Rebinding), or by posting a form.
"""

import ipaddress

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from yarl import URL

from api.app_keys import KEYS_REQUIRED, SETTINGS
from api.cors import SAFE_METHODS, allowed_origin
from schemas.settings import Settings, is_loopback


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers 403 when the Host header names another host, or a changing request comes from another origin.

    Browsers send Origin with every request that may change something; other clients send none and are not affected.
    """
    if request.app[KEYS_REQUIRED]:
        return await handler(request)
    settings, hosts = request.app[SETTINGS], request.headers.getall(hdrs.HOST, [])
    if not all(is_allowed_host(host, settings) for host in hosts):
        raise web.HTTPForbidden(
            text=f"This service does not serve the host {hosts[0][:200]!r}; FACES_API_HOSTS lists the names that it"
            " serves without keys."
        )
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and request.method not in SAFE_METHODS and not allowed_origin(request):
        own = _origin(f"{request.scheme}://{hosts[0]}") if hosts else None
        if own is None or _origin(origin) != own:
            raise web.HTTPForbidden(
                text=f"A page of {origin[:200]!r} may send this only when FACES_CORS_ORIGINS lists that origin."
            )
    return await handler(request)


def is_allowed_host(header: str, settings: Settings) -> bool:
    """Whether a Host header names this service: a loopback name, FACES_HOST, or a name in FACES_API_HOSTS.

    Where the API listens to other machines, addresses and names without a dot (``api``, the name of a container) are
    allowed too: a website on the Internet can have neither.
    """
    url = _origin(f"http://{header}")
    host = (url.host or "").rstrip(".").lower() if url else ""
    if not host:
        return False
    if (
        is_loopback(host)
        or host.endswith(".localhost")
        or host in {settings.host.lower(), *settings.served_hosts}
    ):
        return True
    return not is_loopback(settings.host) and ("." not in host or _is_address(host))


def _origin(text: str) -> URL | None:
    """A URL of scheme, host and port alone, without the default port; None for another text."""
    try:
        url = URL(text)
        return (
            url.origin()
            if not url.user and url.path in ("", "/") and not url.query_string and not url.fragment
            else None
        )
    except (ValueError, TypeError):
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
