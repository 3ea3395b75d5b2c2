"""Answers browsers in place of problem details: with a page for a person, and so that our pages log no error.

A browser logs each answer of 4xx as an error of the page that asked, whether the page expects it or not: somebody
else may have deleted what it asks for. So the scripts of our pages get the same problem details with the status 200,
and their pictures and films get 204. Both say in the request that they want that; metrics have the real status.
"""

import asyncio
from typing import cast

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.compression import packed, weights
from api.endpoints import endpoint_of
from api.pages.page import app_page
from api.request_id import REQUEST_ID
from api.thumbnails import BLANK
from schemas.results import Problem

OF_A_PAGE = "Faces-Page"
"""Header of the requests that the scripts of our pages send (access.js)."""
_PAGE = app_page("problem")
_ROOT = "/faces/"


@web.middleware
async def answer_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers a refusal in the way that a browser needs; other callers get it as it is."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type != "application/problem+json":
        return response
    if response.status < 500 and OF_A_PAGE in request.headers:
        response.set_status(200)
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response
    endpoint = endpoint_of(request)
    if endpoint is not None and endpoint.ticket and BLANK["name"] in request.query:
        return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})
    return await _page(request, response) if _navigates(request) else response


def _navigates(request: web.Request) -> bool:
    """Whether a person opens the address: browsers then prefer HTML, which other clients do not ask for."""
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        return False
    wanted = weights(request.headers.get(hdrs.ACCEPT, ""))
    json = max(wanted.get("application/json", 0.0), wanted.get("application/problem+json", 0.0))
    return wanted.get("text/html", 0.0) > json


async def _page(request: web.Request, refusal: web.Response) -> web.Response:
    """The page that shows problem details, with their status and headers."""
    problem = msgspec.json.decode(cast("bytes", refusal.body), type=Problem)
    detail = f"{problem.field}: {problem.detail}" if problem.field else problem.detail
    said = {"status": problem.status, "detail": detail, "request_id": request[REQUEST_ID]}
    html = await asyncio.to_thread(_PAGE.render, "Faces", msgspec.json.encode(said), _root(request))
    body, headers = await packed(request, html)
    kept = {
        name: value
        for name, value in refusal.headers.items()
        if name not in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
    }
    headers |= kept | _PAGE.headers | {hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: "Accept, Accept-Encoding"}
    return web.Response(
        status=refusal.status, body=body, content_type="text/html", charset="utf-8", headers=headers
    )


def _root(request: web.Request) -> str:
    """Where ``/faces/`` lies, seen from the address of a request: a proxy may put a path of its own before it."""
    path = request.rel_url.raw_path
    if path.startswith(_ROOT):
        return "./" + "../" * path.removeprefix(_ROOT).count("/")
    return "../" * path.removeprefix("/").count("/") + _ROOT.removeprefix("/")
