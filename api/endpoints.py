"""Declarations of endpoints: route, access, limits and documentation, stated once at the handler.

Derived from them: the routes of the application (api.app), the access check (api.auth), the exemptions from the
concurrency limit (api.limits) and the paths of the OpenAPI document (api.openapi.rest).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from schemas.store.api_keys import Scope

Access = Scope | Literal["public", "page"]
"""Scope that a caller's key needs; or "public": open to all, says nothing about jobs; or "page": open too, since a
browser sends no key with a navigation. A page holds no data: its script asks for a key and sends it."""
Schema = Mapping[str, Any]
"""A JSON Schema."""


class Content(msgspec.Struct, frozen=True):
    """A body that is not just one struct as JSON.

    Attributes:
        types: its media types, each with a struct, a JSON Schema, or None for bytes without a schema.
        description: of a response.
    """

    types: Mapping[str, type[msgspec.Struct] | Schema | None]
    description: str = ""


Body = type[msgspec.Struct] | Content
"""What a request or a response carries; a struct: as JSON."""


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path.

    Attributes:
        path: with parameters in braces, which are strings.
        access: who may call it.
        summary: its line in the OpenAPI document; None: it is left out there.
        patterns: regular expressions of path parameters that have one.
        query: struct that `api.queries.parse_query` reads the query into.
        parameters: further ones, as `parameter` makes them.
        body: of the request.
        responses: documented ones, by status; None: without a body.
        problems: statuses that are answered with problem details, beside those of every endpoint.
        limited: counts against the concurrency limit.
        ticket: a browser's ticket (api.sessions) opens it as well as a key does: a film or a picture.
        allow_head: of a GET: HEAD is served too.
    """

    method: str
    path: str
    access: Access
    summary: str | None
    patterns: Mapping[str, re.Pattern[str]] = {}
    query: type[msgspec.Struct] | None = None
    parameters: Sequence[dict[str, Any]] = ()
    body: Body | None = None
    responses: Mapping[int, Body | None] = {}
    problems: Sequence[int] = ()
    limited: bool = True
    ticket: bool = False
    allow_head: bool = True


class Endpoints:
    """The endpoints of one module, with their handlers.

    Attributes:
        declared: in the order of the module.
    """

    def __init__(self) -> None:
        self.declared: list[tuple[Endpoint, Handler]] = []

    def add(self, endpoint: Endpoint) -> Callable[[Handler], Handler]:
        """Declares the decorated handler to serve an endpoint."""

        def decorate(handler: Handler) -> Handler:
            self.declared.append((endpoint, handler))
            return handler

        return decorate


ENDPOINTS = web.AppKey("endpoints", dict[tuple[str, str], Endpoint])
"""Every endpoint of the application, by method and path."""


def add_endpoints(app: web.Application, groups: Sequence[Endpoints]) -> None:
    """Adds the routes of these modules to the application."""
    app[ENDPOINTS] = {}
    for group in groups:
        for endpoint, handler in group.declared:
            app[ENDPOINTS][endpoint.method, endpoint.path] = endpoint
            head = {"allow_head": endpoint.allow_head} if endpoint.method == hdrs.METH_GET else {}
            app.router.add_routes([web.RouteDef(endpoint.method, endpoint.path, handler, head)])


def endpoint_of(request: web.Request) -> Endpoint | None:
    """The endpoint that a request is for; None when no route matches (404, 405)."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return request.app[ENDPOINTS][method, resource.canonical]


def parameter(
    name: str,
    place: Literal["path", "query", "header"],
    *,
    pattern: str | None = None,
    description: str | None = None,
    required: bool = False,
) -> dict[str, Any]:
    """A string parameter, as an OpenAPI parameter object."""
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return (
        {"name": name, "in": place, "schema": schema}
        | ({"description": description} if description else {})
        | ({"required": True} if required else {})
    )
