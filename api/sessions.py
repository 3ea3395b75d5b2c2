"""Sessions of the pages: what a key may do, and a ticket for what a browser requests without headers.

A ``<video>`` or ``<img>`` cannot send a key. With its key a page gets a cookie that opens films and pictures, for ten
minutes, and nothing else: no other endpoint looks at it, so it changes nothing and other websites gain nothing. It is
signed with the digest of the key, so revoking the key ends it.
"""

import msgspec
from aiohttp import hdrs, web

from api.app_keys import API_KEYS, KEYS_REQUIRED, SETTINGS
from api.endpoints import Endpoint, Endpoints
from api.responses import json_response
from schemas.store.api_keys import ApiKey, Scope

endpoints = Endpoints()

TICKET_COOKIE = "faces-ticket"
TICKET_SECONDS = 600
"""Life of a ticket; pages get another one before."""


async def presented_key(request: web.Request, *, by_ticket: bool) -> ApiKey | None:
    """The key that a request presents; None when it presents none, or one that is not known.

    Args:
        by_ticket: a ticket counts as well.
    """
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return await request.app[API_KEYS].find(token.strip())
    if by_ticket and (ticket := request.cookies.get(TICKET_COOKIE)):
        return await request.app[API_KEYS].find_by_ticket(ticket)
    return None


def unauthorized() -> web.HTTPUnauthorized:
    """The error for a request without a key that is known."""
    return web.HTTPUnauthorized(
        text="This needs a key: send Authorization: Bearer KEY (`faces keys create` makes one).",
        headers={"WWW-Authenticate": 'Bearer realm="faces"'},
    )


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is and may do, for pages that show only that.

    Attributes:
        name: of the key; null: there is none.
        needs_key: the service needs a key, and the caller sent none.
        serves_media: films can be played, and directories looked through.
        max_upload_bytes: the largest film that can be uploaded; 0: none.
        ticket_seconds: how long the cookie opens films and pictures; 0: none is needed.
    """

    name: str | None
    needs_key: bool
    scopes: tuple[Scope, ...]
    serves_media: bool
    max_upload_bytes: int
    ticket_seconds: int


@endpoints.add(Endpoint(
    "POST", "/faces/session", "public",
    "What the caller may do; for a browser, a cookie that opens films and pictures",
    responses={200: Session},
))  # fmt: skip
async def begin(request: web.Request) -> web.Response:
    """Says what the caller may do; a page's key gets a ticket for films and pictures. 401: the key is not known."""
    settings, required = request.app[SETTINGS], request.app[KEYS_REQUIRED]
    key = await presented_key(request, by_ticket=False) if required else None
    if required and key is None and hdrs.AUTHORIZATION in request.headers:
        raise unauthorized()
    scopes: tuple[Scope, ...] = key.scopes if key else () if required else ("read", "submit", "admin")
    session = Session(
        name=key.name if key else None,
        needs_key=required and key is None,
        scopes=scopes,
        serves_media=settings.serve_media,
        max_upload_bytes=settings.max_upload_bytes if settings.upload_path else 0,
        ticket_seconds=TICKET_SECONDS if key else 0,
    )
    response = json_response(session)
    response.headers["Cache-Control"] = "no-store"
    if key is not None:
        response.set_cookie(
            TICKET_COOKIE, key.ticket(TICKET_SECONDS), max_age=TICKET_SECONDS, path="",
            httponly=True, samesite="Strict", secure=request.secure,
        )  # fmt: skip  # without a path it is sent below /faces/, also behind a proxy that puts a prefix before it
    return response


@endpoints.add(Endpoint(
    "DELETE", "/faces/session", "public", "Take the cookie away", responses={204: None}, limited=False,
))  # fmt: skip
async def end(_: web.Request) -> web.Response:
    """Takes the ticket away."""
    response = web.Response(status=204)
    response.set_cookie(TICKET_COOKIE, "", max_age=0, path="", httponly=True, samesite="Strict")
    return response
