"""Pages of other origins may use the API where the operator lists them (FACES_CORS_ORIGINS), nowhere else."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.app_keys import SETTINGS

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-ID, traceparent"
)
SAFE = frozenset((hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS))
EXPOSED = "ETag, Location, Retry-After, X-Request-ID"
REMEMBERED = "600"
"""Seconds for which a browser need not ask again."""


@web.middleware
async def answer_preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser asks before it sends what a form could not; it shows no key with that."""
    asked = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not asked or not _allowed(request):
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: REMEMBERED,
        },
    )


@web.middleware
async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page of another site can have a browser post to an API that asks for no key, and only not read the answer:
    what changes something is refused. Browsers say where a request comes from, nobody else does."""
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    if foreign and request.method not in SAFE and not _allowed(request):
        raise web.HTTPForbidden(
            text="A page of another site may do this only where FACES_CORS_ORIGINS lists it."
        )
    return await handler(request)


async def allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Before the headers go out."""
    if not request.app[SETTINGS].origins:
        return
    response.headers[hdrs.VARY] = ", ".join(filter(None, (response.headers.get(hdrs.VARY), hdrs.ORIGIN)))
    if origin := _allowed(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


def _allowed(request: web.Request) -> str | None:
    origins, origin = request.app[SETTINGS].origins, request.headers.get(hdrs.ORIGIN)
    return origin if origin is not None and ("*" in origins or origin in origins) else None
