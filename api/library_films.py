"""Endpoints of a library's films: which there are, and who is in them when."""

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from api.app_keys import LIBRARY_READER
from api.endpoints import Content, Endpoint, Endpoints
from api.libraries import IF_NONE_MATCH, NAME
from api.library_lookup import find_library, tagged, unchanged
from api.queries import LibraryFilmsQuery, QueryError, TimeRangeQuery, parse_query
from schemas.library import PERSON_ID
from schemas.library_records import FILM_ID
from schemas.library_view import FilmPeople, LibraryFilms
from schemas.store.library_export import csv_lines
from schemas.store.server_errors import error_text
from schemas.subtitles import subtitles

endpoints = Endpoints()
log = structlog.get_logger(__name__)
FILM = NAME | {"film_id": FILM_ID}


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/films", "read", "The films of a library",
    patterns=NAME, query=LibraryFilmsQuery, parameters=IF_NONE_MATCH,
    responses={200: LibraryFilms, 304: None}, problems=(400, 404),
))  # fmt: skip
async def list_films(request: web.Request) -> web.Response:
    """Lists films, all or those with some people."""
    name, version = await find_library(request)
    query = parse_query(request.query, LibraryFilmsQuery)
    if (same := unchanged(request, version)) is not None:
        return same
    reader = request.app[LIBRARY_READER]
    wanted = [one for one in query.people.split(",") if one]
    people = [await reader.resolve(name, one) if PERSON_ID.fullmatch(one) else None for one in wanted]
    for one, found in zip(wanted, people, strict=True):
        if found is None:
            raise QueryError("people", f"Library {name!r} has no person {one!r}.")
    films = await reader.films(name, query.limit, query.after, [one for one in people if one])
    return await tagged(request, version, films)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/films/{film_id}", "read", "Who is in a film, or in a part of it",
    patterns=FILM, query=TimeRangeQuery, parameters=IF_NONE_MATCH,
    responses={200: FilmPeople, 304: None}, problems=(400, 404),
))  # fmt: skip
async def show_film(request: web.Request) -> web.Response:
    """Lists the people of a film."""
    name, version = await find_library(request)
    query = parse_query(request.query, TimeRangeQuery)
    if query.until < query.since:
        raise QueryError("until", "Expected it not to be before since.")
    found = await _film(request, name, query.since, query.until)
    return unchanged(request, version) or await tagged(request, version, found)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/films/{film_id}/people.vtt", "read",
    "The names of who is seen, as subtitles for players",
    patterns=FILM, responses={200: Content({"text/vtt": None}, "WebVTT")}, problems=(404,),
))  # fmt: skip
async def film_subtitles(request: web.Request) -> web.Response:
    """Serves the names of the people of a film by time."""
    name, _ = await find_library(request)
    body = subtitles(await _film(request, name, 0.0, 1e9))
    headers = {"Cache-Control": "private, no-cache"}
    return web.Response(text=body, content_type="text/vtt", charset="utf-8", headers=headers)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/appearances.csv", "read", "Every appearance of every person, as a table",
    patterns=NAME, responses={200: Content({"text/csv": None}, "CSV, with the names of the columns")},
    problems=(404,), allow_head=False,
))  # fmt: skip
async def appearances_table(request: web.Request) -> web.StreamResponse:
    """Streams the table of a library."""
    name, _ = await find_library(request)
    stream = web.StreamResponse(headers={"Cache-Control": "private, no-cache"})
    stream.content_type, stream.charset = "text/csv", "utf-8"
    await stream.prepare(request)
    try:
        async for lines in csv_lines(request.app[LIBRARY_READER], name):
            await stream.write(lines.encode())
        await stream.write_eof()
    except RedisError as error:
        log.warning("table of a library aborted", library=name, error=error_text(error))
        if request.transport is not None:
            request.transport.abort()  # without the last chunk the caller notices that the table is incomplete
    return stream


async def _film(request: web.Request, name: str, since: float, until: float) -> FilmPeople:
    film_id = request.match_info["film_id"]
    found = await request.app[LIBRARY_READER].film(name, film_id, since, until)
    if found is None:
        raise web.HTTPNotFound(text=f"Library {name!r} has no film {film_id!r}.")
    return found
