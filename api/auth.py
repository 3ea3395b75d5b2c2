"""Authentication and authorization: bearer keys (RFC 6750) with scopes, checked against each endpoint's access."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.exceptions import RedisError

from api.app_keys import API_KEYS, KEY, KEYS_REQUIRED, SETTINGS
from api.endpoints import Access, endpoint_of
from api.limits import RATE_LIMIT
from api.sessions import presented_key, unauthorized
from schemas.store.api_keys import Scope

log = structlog.get_logger(__name__)

_UNMATCHED: dict[str, Scope] = {"GET": "read", "HEAD": "read", "POST": "submit"}
"""Scope for a request that matches no route, by method; other methods need admin. With it: 404 or 405, else 403."""


class NoKeys(Exception):
    """The API would be reachable from other machines, needs keys, and there are none."""


@web.middleware
async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Applies the rate limit of the caller, then answers 401 without a key and 403 without the scope."""
    endpoint = endpoint_of(request)
    access: Access = endpoint.access if endpoint else _UNMATCHED.get(request.method, "admin")
    if not request.app[KEYS_REQUIRED] or access == "public" or access == "page":
        request.app[RATE_LIMIT].take(request.remote or "")
        return await handler(request)
    key = await presented_key(request, by_ticket=endpoint is not None and endpoint.ticket)
    request.app[RATE_LIMIT].take(key.name if key else request.remote or "")
    if key is None:
        raise unauthorized()
    if not key.allows(access):
        raise web.HTTPForbidden(
            text=f"The key {key.name} has no scope {access}; it has {', '.join(key.scopes)}."
        )
    request[KEY] = key
    return await handler(request)


async def require_keys(app: web.Application) -> None:
    """Checks at start-up that there is a key where keys are required.

    Raises:
        NoKeys: with what to do about it.
    """
    settings = app[SETTINGS]
    if not settings.keys_required:
        return
    try:
        exist = await app[API_KEYS].exist()
    except RedisError as error:  # requests are answered 503 until Redis is back, and 401 without a key
        log.warning("key check skipped", error=str(error))
        return
    if not exist:
        raise NoKeys(
            f"{settings.host} can be reached from other machines and there is no API key. Make one with "
            "`faces keys create NAME` on the same REDIS_URL, listen on 127.0.0.1, or allow everybody with "
            "FACES_AUTH=off (faces up --insecure)."
        )
