"""Cross-origin requests (CORS): allowed from the origins in FACES_CORS_ORIGINS only."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.app_keys import SETTINGS

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-ID, traceparent"
)
SAFE_METHODS = frozenset((hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS))
EXPOSED_HEADERS = "ETag, Location, Retry-After, X-Request-ID"
PREFLIGHT_MAX_AGE = "600"
"""Seconds for which a browser may cache a preflight response."""


@web.middleware
async def answer_preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers preflight requests, which carry no key, with the allowed methods and headers."""
    preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not preflight or not allowed_origin(request):
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ALLOWED_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_MAX_AGE,
        },
    )


@web.middleware
async def refuse_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses cross-site requests that change something (CSRF) unless their origin is allowed.

    Without keys, any site's page could make a browser post here; only reading the response is blocked by the
    browser itself. Browsers send Sec-Fetch-Site; other clients do not, and are not affected.
    """
    cross_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
    if cross_site and request.method not in SAFE_METHODS and not allowed_origin(request):
        raise web.HTTPForbidden(
            text="Pages of other sites may send this only when FACES_CORS_ORIGINS lists their origin."
        )
    return await handler(request)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the CORS headers to every response, just before its headers are sent."""
    if not request.app[SETTINGS].origins:
        return
    response.headers[hdrs.VARY] = ", ".join(filter(None, (response.headers.get(hdrs.VARY), hdrs.ORIGIN)))
    if origin := allowed_origin(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS


def allowed_origin(request: web.Request) -> str | None:
    """The origin of a request if FACES_CORS_ORIGINS lists it; else None."""
    origins, origin = request.app[SETTINGS].origins, request.headers.get(hdrs.ORIGIN)
    return origin if origin is not None and ("*" in origins or origin in origins) else None
