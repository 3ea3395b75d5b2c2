"""Serves the page of a film: player, timeline, people."""

from aiohttp import web

from api.endpoints import Endpoint, Endpoints
from api.pages.home import HTML
from api.pages.page import AppPage

endpoints = Endpoints()

_FILM = AppPage("film", "Film · Faces", "job.js", "player.js", root="../")


@endpoints.add(Endpoint(
    "GET", "/faces/film/{job_id}", "page", "The film of a job, with its people", responses={200: HTML},
))  # fmt: skip
async def film(request: web.Request) -> web.Response:
    """Serves the page of a job's film."""
    return _FILM.response(request)
