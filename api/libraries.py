"""Endpoints of libraries: which there are, their people, and when these appear in films."""

import hashlib

from aiohttp import web
from msgspec import UNSET

from api.app_keys import LIBRARIES, LIBRARY_READER
from api.endpoints import Endpoint, Endpoints, parameter
from api.library_lookup import find_library, find_person, tag_headers, tagged, unchanged
from api.queries import LibraryPageQuery, LibraryPeopleQuery, LimitQuery, parse_query
from api.responses import json_response, problem
from api.thumbnails import PARAMETERS, PICTURE, send_picture
from schemas.library import PERSON_ID
from schemas.library_records import JOB_NAME
from schemas.library_view import (
    Companions,
    LibraryInfo,
    LibraryList,
    LibraryPeople,
    LibraryPerson,
    PersonAppearances,
)
from schemas.names import FACE_NAME, LIBRARY
from schemas.store.library_reader import comparable

endpoints = Endpoints()
NAME = {"name": LIBRARY}
PERSON = NAME | {"person_id": PERSON_ID}
IF_NONE_MATCH = [parameter("If-None-Match", "header")]


@endpoints.add(Endpoint("GET", "/faces/libraries", "read", "The libraries", responses={200: LibraryList}))
async def list_libraries(request: web.Request) -> web.Response:
    """Lists all libraries."""
    reader = request.app[LIBRARY_READER]
    infos = [await reader.info(name) for name in await request.app[LIBRARIES].all()]
    return json_response(LibraryList(libraries=[info for info in infos if info is not None]))


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}", "read", "How much is in a library",
    patterns=NAME, responses={200: LibraryInfo}, problems=(404,),
))  # fmt: skip
async def show_library(request: web.Request) -> web.Response:
    """Shows the size of a library."""
    name, _ = await find_library(request)
    info = await request.app[LIBRARY_READER].info(name)
    return json_response(info) if info else problem(404, f"There is no library {name!r}.")


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/people", "read", "The people of a library",
    patterns=NAME, query=LibraryPeopleQuery, parameters=IF_NONE_MATCH,
    responses={200: LibraryPeople, 304: None}, problems=(400, 404),
))  # fmt: skip
async def list_people(request: web.Request) -> web.Response:
    """Lists the people of a library, oldest first."""
    name, version = await find_library(request)
    query = parse_query(request.query, LibraryPeopleQuery)
    if (same := unchanged(request, version)) is not None:
        return same
    text, hidden = comparable(query.text), query.hidden

    def matches(person: LibraryPerson) -> bool:
        shown = hidden == "all" or person.hidden == (hidden == "only")
        return shown and (not text or text in comparable(person.label or ""))

    named = True if text or query.only == "named" else None if query.only is UNSET else False
    people = await request.app[LIBRARY_READER].people(
        name, query.limit, query.after, named=named, matches=matches
    )
    return await tagged(request, version, people)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/people/{person_id}", "read", "A person of a library",
    patterns=PERSON, parameters=IF_NONE_MATCH,
    responses={200: LibraryPerson, 304: None, 307: None}, problems=(404,),
))  # fmt: skip
async def show_person(request: web.Request) -> web.Response:
    """Shows a person."""
    name, version = await find_library(request)
    person = await find_person(request, name)
    return unchanged(request, version) or await tagged(request, version, person)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/people/{person_id}/appearances", "read",
    "In which films a person is, and when",
    patterns=PERSON, query=LibraryPageQuery, parameters=IF_NONE_MATCH,
    responses={200: PersonAppearances, 304: None, 307: None}, problems=(400, 404),
))  # fmt: skip
async def list_appearances(request: web.Request) -> web.Response:
    """Lists the films with a person."""
    name, version = await find_library(request)
    query = parse_query(request.query, LibraryPageQuery)
    person = await find_person(request, name)
    if (same := unchanged(request, version)) is not None:
        return same
    found = await request.app[LIBRARY_READER].appearances(name, person, query.limit, query.after)
    return await tagged(request, version, found)


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/people/{person_id}/together", "read", "Who is in the same films as a person",
    patterns=PERSON, query=LimitQuery, parameters=IF_NONE_MATCH,
    responses={200: Companions, 304: None, 307: None}, problems=(400, 404),
))  # fmt: skip
async def list_companions(request: web.Request) -> web.Response:
    """Lists the companions of a person."""
    name, version = await find_library(request)
    query = parse_query(request.query, LimitQuery)
    person = await find_person(request, name)
    if (same := unchanged(request, version)) is not None:
        return same
    return await tagged(
        request, version, await request.app[LIBRARY_READER].together(name, person, query.limit)
    )


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/faces/{job_id}/{face_id}/thumbnail", "read", "A person, as seen in a film",
    patterns=NAME | {"job_id": JOB_NAME, "face_id": FACE_NAME}, parameters=[*IF_NONE_MATCH, *PARAMETERS],
    responses={200: PICTURE, 204: None, 304: None}, problems=(400, 404), ticket=True,
))  # fmt: skip
async def thumbnail(request: web.Request) -> web.Response:
    """Serves the picture of a face; a browser asks each time whether it still may show what it has."""
    name, _ = await find_library(request)
    face = f"{request.match_info['job_id']}/{request.match_info['face_id']}"
    jpeg = await request.app[LIBRARY_READER].thumbnail(name, face)
    if jpeg is None:
        return problem(404, f"Library {name!r} has no picture of a face {face!r}.")
    version = hashlib.sha256(jpeg).hexdigest()
    return unchanged(request, version) or await send_picture(request, jpeg, tag_headers(request, version))
