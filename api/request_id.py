"""Request ids: X-Request-ID, the caller's or a new one, in every response and every log line."""

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from structlog.contextvars import bind_contextvars

HEADER = "X-Request-ID"
REQUEST_ID = web.RequestKey("request_id", str)
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
"""Ids of callers that are used as they are. Other characters could forge log lines."""
log = structlog.get_logger(__name__)


@web.middleware
async def identify_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request an id, and puts it into the log context until the connection's next request."""
    sent_id = request.headers.get(HEADER, "")
    request[REQUEST_ID] = request_id = sent_id if _ACCEPTED_ID.fullmatch(sent_id) else secrets.token_hex(12)
    bind_contextvars(request_id=request_id)
    response = await handler(request)
    log.debug("request answered", method=request.method, path=request.path, status=response.status)
    return response


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the request id to every response, streams and errors included, just before its headers are sent."""
    response.headers[HEADER] = request[REQUEST_ID]
