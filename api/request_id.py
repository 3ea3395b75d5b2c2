"""Which request is which: X-Request-ID, the caller's or a new one, in the answer and in every line of the log."""

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from structlog.contextvars import bind_contextvars

HEADER = "X-Request-ID"
REQUEST_ID = web.RequestKey("request_id", str)
_TAKEN = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
"""Ids of a caller that are used as they are; others could forge lines of a log."""
log = structlog.get_logger(__name__)


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get(HEADER, "")
    request[REQUEST_ID] = request_id = given if _TAKEN.fullmatch(given) else secrets.token_hex(12)
    bind_contextvars(
        request_id=request_id
    )  # until the next request of this connection, which has its own context
    response = await handler(request)
    log.debug("answered", method=request.method, path=request.path, status=response.status)
    return response


async def tell_id(request: web.Request, response: web.StreamResponse) -> None:
    """Before the headers go out, those of streams and of errors too."""
    response.headers[HEADER] = request[REQUEST_ID]
