"""Serves the pages of a library: its people, with questions, search by photograph and changes; one person."""

from aiohttp import web

from api.endpoints import Endpoint, Endpoints
from api.pages.home import HTML
from api.pages.page import AppPage
from schemas.library import PERSON_ID

endpoints = Endpoints()

_SHARED = ("library.js", "choosing.js")
_PEOPLE = AppPage(
    "people", "People · Faces", *_SHARED, "questions.js", "photograph.js", "history.js", "questions.css"
)
_PERSON = AppPage("person", "Person · Faces", *_SHARED, "people.css", root="../")


@endpoints.add(Endpoint("GET", "/faces/people", "page", "The people of a library", responses={200: HTML}))
async def people(request: web.Request) -> web.Response:
    """Serves the page on which people are named, merged, hidden and searched."""
    return _PEOPLE.response(request)


@endpoints.add(Endpoint(
    "GET", "/faces/people/{person_id}", "page", "A person of a library",
    patterns={"person_id": PERSON_ID}, responses={200: HTML}, problems=(404,),
))  # fmt: skip
async def person(request: web.Request) -> web.Response:
    """Serves the page of a person: films, company, and what can be said about the faces."""
    if not PERSON_ID.fullmatch(request.match_info["person_id"]):
        raise web.HTTPNotFound(text="This is not an id of a person.")
    return _PERSON.response(request)
