"""Responses: structs as JSON, errors as problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from schemas.results import Problem


def json_response(body: msgspec.Struct | dict[str, Any], status: int = 200) -> web.Response:
    """A body as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def problem(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    allowed: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Problem details.

    Args:
        detail: what happened and what to do, for the person who reads it.
        field: dotted name of the request's field at fault.
        allowed: keywords of JSON Schema for that field's value.
    """
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, field=field or None, allowed=allowed)
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers=headers,
    )
