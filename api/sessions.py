"""Sessions of the pages: what a key may do, and a ticket for what a browser requests without headers.

A ``<video>`` or ``<img>`` cannot send a key. With its key a page gets a cookie that opens films and pictures, for ten
minutes, and nothing else: no other endpoint looks at it, so it changes nothing and other websites gain nothing. It is
signed with the digest of the key, so revoking the key ends it.
"""

import msgspec
from aiohttp import web

from api.app_keys import API_KEYS, CALLER, SETTINGS
from api.endpoints import Endpoint, Endpoints
from api.responses import json_response
from schemas.store.api_keys import Scope

endpoints = Endpoints()

TICKET_COOKIE = "faces-ticket"
TICKET_SECONDS = 600
"""Life of a ticket; pages get another one before."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is and may do, for pages that show only that.

    Attributes:
        name: of the key; null: this service needs none.
        serves_media: films can be played, and directories looked through.
        max_upload_bytes: the largest film that can be uploaded; 0: none.
        ticket_seconds: how long the cookie opens films and pictures; 0: none is needed.
    """

    name: str | None
    scopes: tuple[Scope, ...]
    serves_media: bool
    max_upload_bytes: int
    ticket_seconds: int


@endpoints.add(Endpoint(
    "POST", "/faces/session", "read", "What the caller may do; for a browser, a cookie that opens films and pictures",
    responses={200: Session},
))  # fmt: skip
async def begin(request: web.Request) -> web.Response:
    """Says what the caller may do; a page's key gets a ticket for films and pictures."""
    settings, name = request.app[SETTINGS], request.get(CALLER)
    key = await request.app[API_KEYS].named(name) if name else None
    session = Session(
        name=key.name if key else None,
        scopes=key.scopes if key else ("read", "submit", "admin"),
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
