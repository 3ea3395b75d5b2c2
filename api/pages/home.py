"""Serves the first page (films and people) and the page for operators (queues, stages, dead letters)."""

from aiohttp import web

from api.endpoints import Content, Endpoint, Endpoints
from api.pages.page import AppPage

endpoints = Endpoints()

HTML = Content({"text/html": None}, "A page")
_HOME = AppPage("home", "Faces", "job.js", "upload.js", "picker.js")
_OPERATIONS = AppPage("operations", "Operations · Faces", "job.js")


@endpoints.add(Endpoint("GET", "/faces/", "page", "Films and their people", responses={200: HTML}))
async def home(request: web.Request) -> web.Response:
    """Serves the page of films and people."""
    return _HOME.response(request)


@endpoints.add(Endpoint("GET", "/", "page", None))
@endpoints.add(Endpoint("GET", "/faces", "page", None))
async def redirect_home(_: web.Request) -> web.Response:
    """Redirects to the first page."""
    raise web.HTTPFound("faces/")  # relative: a proxy may serve the API below a path of its own


@endpoints.add(Endpoint(
    "GET", "/faces/operations", "page", "Queues, stages and dead letters", responses={200: HTML},
))  # fmt: skip
async def operations(request: web.Request) -> web.Response:
    """Serves the page of queues, stages, jobs and dead letters."""
    return _OPERATIONS.response(request)
