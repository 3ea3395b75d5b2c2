"""Who may do what: bearer keys, asked for wherever the API can be reached from another machine."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.exceptions import RedisError

from api.app_keys import ACCESS, CALLER, GUARDED, SETTINGS
from api.endpoints import Access, endpoint_of
from api.limits import RATES
from schemas.store.api_keys import Scope

log = structlog.get_logger(__name__)

_UNMATCHED: dict[str, Scope] = {"GET": "read", "HEAD": "read", "POST": "submit"}
"""Scope for a 404 or 405 instead of a 403, by method; every other method needs admin."""


class NoKeys(Exception):
    """The API would listen to other machines, and nobody could tell who asks."""


@web.middleware
async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    endpoint = endpoint_of(request)
    access: Access = endpoint.access if endpoint else _UNMATCHED.get(request.method, "admin")
    if not request.app[GUARDED] or access == "public" or access == "page":
        request.app[RATES].take(request.remote or "")
        return await handler(request)
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    key = await request.app[ACCESS].find(token.strip()) if kind.lower() == "bearer" else None
    request.app[RATES].take(key.name if key else request.remote or "")
    if key is None:
        raise web.HTTPUnauthorized(
            text="This needs a key: Authorization: Bearer KEY (see faces keys create).",
            headers={"WWW-Authenticate": 'Bearer realm="faces"'},
        )
    if not key.allows(access):
        raise web.HTTPForbidden(
            text=f"The key {key.name} has no scope {access}; it has {', '.join(key.scopes)}."
        )
    request[CALLER] = key.name
    return await handler(request)


async def require_keys(app: web.Application) -> None:
    """Refuses to start where keys are needed and there are none.

    Raises:
        NoKeys: with what to do about it.
    """
    settings = app[SETTINGS]
    if not settings.keys_required:
        return
    try:
        exist = await app[ACCESS].exist()
    except RedisError as error:  # without its server the API answers 503, and without a key 401
        log.warning("keys could not be looked for", error=str(error))
        return
    if not exist:
        raise NoKeys(
            f"{settings.host} can be reached from other machines and there is no API key. Make one with "
            "`faces keys create NAME` on the same REDIS_URL, listen on 127.0.0.1, or allow everybody with "
            "FACES_AUTH=off (faces up --insecure)."
        )
