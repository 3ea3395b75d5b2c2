"""Request bodies: reads them within a time limit and parses them into structs."""

import asyncio
import re
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from schemas.requests import RequestError
from schemas.schema_errors import MAX_NAME_LENGTH, allowed, locate, unknown_fields, unknown_name

BODY_TIMEOUT_SECONDS = 30.0
"""A caller who sends a body slowly holds one of the places under the concurrency limit."""
JSON_TYPES = re.compile(r"application/(json|octet-stream|[a-z0-9.+-]+\+json)")
"""Media types of a JSON body. Without a Content-Type it counts as application/octet-stream. A form of another website
can send none of these without a preflight request."""
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
Body = TypeVar("Body", bound=msgspec.Struct)


async def read_body(request: web.Request) -> bytes:
    """The whole body; 408 when it takes longer than `BODY_TIMEOUT_SECONDS`, 415 when it is compressed.

    Four megabytes of gzip are four gigabytes of text: unpacking them would stop every other request for seconds.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="Expected a body without Content-Encoding.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(
            text=f"The body did not arrive within {BODY_TIMEOUT_SECONDS:g} s."
        ) from error


async def read_json(request: web.Request) -> bytes:
    """The body of a request that sends JSON; 415 for another Content-Type."""
    if not JSON_TYPES.fullmatch(request.content_type):
        raise web.HTTPUnsupportedMediaType(text="Expected Content-Type: application/json.")
    return await read_body(request)


def parse_body(body: bytes, type_: type[Body]) -> Body:
    """A JSON body as a struct.

    Raises:
        RequestError: with the field at fault and what is allowed there; of an unknown field, the nearest known one.
    """
    try:
        data = msgspec.json.decode(body)
        for path, name in unknown_fields(data, type_):
            raise RequestError(path + name[:MAX_NAME_LENGTH], unknown_name(name, type_.__struct_fields__))
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        path, detail = locate(error)
        if missing := _MISSING_FIELD.search(detail):
            path = f"{path}.{missing[1]}".lstrip(".")
        raise RequestError(path, detail, allowed(type_, path)) from error
    except RecursionError as error:
        raise RequestError("", "The body is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("", f"The body is not JSON: {error}") from error
