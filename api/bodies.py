"""Request bodies: reads them within a time limit and parses them into structs."""

import asyncio
import re
from typing import TypeVar

import msgspec
from aiohttp import web

from schemas.requests import RequestError
from schemas.schema_errors import allowed, locate

BODY_TIMEOUT_SECONDS = 30.0
"""A caller who sends a body slowly holds one of the places under the concurrency limit."""
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
Body = TypeVar("Body", bound=msgspec.Struct)


async def read_body(request: web.Request) -> bytes:
    """The whole body; 408 when it takes longer than `BODY_TIMEOUT_SECONDS`."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(
            text=f"The body did not arrive within {BODY_TIMEOUT_SECONDS:g} s."
        ) from error


def parse_body(body: bytes, type_: type[Body]) -> Body:
    """A JSON body as a struct.

    Raises:
        RequestError: with the field at fault and what is allowed there.
    """
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        path, detail = locate(error)
        missing = _MISSING_FIELD.search(detail)
        raise RequestError(missing[1] if missing else path, detail, allowed(type_, path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("", f"The body is not JSON: {error}") from error
