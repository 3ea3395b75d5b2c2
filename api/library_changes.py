"""Endpoints that change a library: corrections, questions to answer, erasure."""

from typing import cast

import msgspec
from aiohttp import web

from api.app_keys import LIBRARIES, LIBRARY_READER, PARTITIONS, READER, REDIS, key_name
from api.bodies import parse_body, read_json
from api.endpoints import Endpoint, Endpoints
from api.jobs import analyse_again
from api.libraries import IF_NONE_MATCH, NAME, PERSON
from api.library_films import FILM
from api.library_lookup import find_library, find_person, tagged, unchanged
from api.limits import SlotsTaken
from api.queries import LibraryPageQuery, LimitQuery, parse_query
from api.replies import has_workers, reply_response, wait_for_reply, waiting_slot
from api.responses import json_response, problem
from schemas.library import Correction
from schemas.library_records import Erasure, Reembedding, Regrouping
from schemas.library_view import (
    Applied,
    CorrectionRequest,
    Corrections,
    ReembedProgress,
    RegroupRequest,
    Suggestions,
)
from schemas.store.clock import server_time
from schemas.store.libraries import Order
from schemas.store.replies import new_question
from schemas.store.submissions import QueueFull

endpoints = Endpoints()


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/suggestions", "read",
    "Which people may be one person; a correction, same or differ, answers it",
    patterns=NAME, query=LimitQuery, parameters=IF_NONE_MATCH,
    responses={200: Suggestions, 304: None}, problems=(400, 404),
))  # fmt: skip
async def list_suggestions(request: web.Request) -> web.Response:
    """Lists the questions whose answers settle most."""
    name, version = await find_library(request)
    query = parse_query(request.query, LimitQuery)
    if (same := unchanged(request, version)) is not None:
        return same
    return await tagged(request, version, await request.app[LIBRARY_READER].suggestions(name, query.limit))


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/corrections", "read",
    "The corrections of a library, and the merges that the service made itself, latest first",
    patterns=NAME, query=LibraryPageQuery, parameters=IF_NONE_MATCH,
    responses={200: Corrections, 304: None}, problems=(400, 404),
))  # fmt: skip
async def list_corrections(request: web.Request) -> web.Response:
    """Lists what was said about a library, when and by whom, and which people the service merged itself."""
    name, version = await find_library(request)
    query = parse_query(request.query, LibraryPageQuery)
    if (same := unchanged(request, version)) is not None:
        return same
    found = await request.app[LIBRARY_READER].corrections(name, query.limit, query.after)
    return await tagged(request, version, found)


@endpoints.add(Endpoint(
    "POST", "/faces/libraries/{name}/corrections", "submit",
    "Correct a library: name, merge, split, move, differ, same, hide, divide, undo",
    patterns=NAME, body=CorrectionRequest,
    responses={200: Applied, 202: None}, problems=(400, 404, 408, 409, 413, 415, 422),
))  # fmt: skip
async def correct(request: web.Request) -> web.Response:
    """Applies a correction: 200 with the people that it changed; 202 when it is accepted and waits for a worker."""
    name, _ = await find_library(request)
    body = parse_body(await read_json(request), CorrectionRequest)
    order = Correction(
        correction_id=body.correction_id or new_question(),
        change=body.change,
        by=key_name(request),
        at=await _now(request),
    )
    answer = await _ordered(request, name, order)
    if answer.status != 200:
        return answer
    applied = msgspec.json.decode(cast("bytes", answer.body), type=Applied)
    jobs = [job for film in applied.films if (job := await _again(request, name, film))]
    return json_response(msgspec.structs.replace(applied, jobs=jobs)) if jobs else answer


@endpoints.add(Endpoint(
    "POST", "/faces/libraries/{name}/regroup", "submit",
    "Decide anew who the faces are, with another threshold; corrections hold",
    patterns=NAME, body=RegroupRequest,
    responses={200: Applied, 202: None}, problems=(400, 404, 408, 413, 415, 422),
))  # fmt: skip
async def regroup(request: web.Request) -> web.Response:
    """Decides anew who the faces of a library are."""
    name, _ = await find_library(request)
    body = parse_body(await read_json(request), RegroupRequest)
    order = Regrouping(correction_id=new_question(), threshold=body.threshold, at=await _now(request))
    return await _ordered(request, name, order)


@endpoints.add(Endpoint(
    "POST", "/faces/libraries/{name}/reembed", "submit",
    "Embed faces of other model packs anew, from their pictures; the library says how far it is",
    patterns=NAME, responses={200: ReembedProgress, 202: None}, problems=(404,),
))  # fmt: skip
async def reembed(request: web.Request) -> web.Response:
    """Begins to embed faces anew: 200 with how many wait; 202 when it is accepted and waits for a worker."""
    name, _ = await find_library(request)
    return await _ordered(request, name, Reembedding(correction_id=new_question()))


@endpoints.add(Endpoint(
    "DELETE", "/faces/libraries/{name}", "admin", "Erase a library, with the jobs of its films",
    patterns=NAME, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def erase_library(request: web.Request) -> web.Response:
    """Erases a library."""
    name, _ = await find_library(request)
    return await _ordered(request, name, await _erasure(request))


@endpoints.add(Endpoint(
    "DELETE", "/faces/libraries/{name}/people/{person_id}", "admin",
    "Erase a person, in the results of the library's films too",
    patterns=PERSON, responses={202: None, 204: None, 307: None}, problems=(404,),
))  # fmt: skip
async def erase_person(request: web.Request) -> web.Response:
    """Erases a person."""
    name, _ = await find_library(request)
    person = await find_person(request, name)
    return await _ordered(request, name, await _erasure(request, person_id=person.person_id))


@endpoints.add(Endpoint(
    "DELETE", "/faces/libraries/{name}/films/{film_id}", "admin", "Erase a film, with its jobs",
    patterns=FILM, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def erase_film(request: web.Request) -> web.Response:
    """Erases a film."""
    name, _ = await find_library(request)
    return await _ordered(request, name, await _erasure(request, film_id=request.match_info["film_id"]))


async def _again(request: web.Request, name: str, film: str) -> str | None:
    """Has a film analysed again, by the request of its latest job; None when that is gone, or too many jobs wait."""
    found = await request.app[LIBRARY_READER].film(name, film, 0.0, 0.0)
    state = await request.app[READER].read(found.film.job_id) if found else None
    try:
        return await analyse_again(request, state) if state else None
    except QueueFull:
        return None


async def _now(request: web.Request) -> float:
    home = request.app[PARTITIONS].home
    return round(await server_time(request.app[REDIS], home.library_names), 3)


async def _erasure(
    request: web.Request, *, person_id: str | None = None, film_id: str | None = None
) -> Erasure:
    return Erasure(
        correction_id=new_question(),
        person_id=person_id,
        film_id=film_id,
        by=key_name(request),
        at=await _now(request),
    )


async def _ordered(request: web.Request, name: str, order: Order) -> web.Response:
    """Accepts an order; the reply of the worker, or 202 when it is late or none runs: the order stays queued then."""
    question = new_question()
    if not await request.app[LIBRARIES].order(name, order, question):
        return problem(404, f"There is no library {name!r}.")
    if await has_workers(request, "library"):
        try:
            with waiting_slot(request):
                reply = await wait_for_reply(request, question)
        except SlotsTaken:
            reply = None
        if reply is not None:
            return web.Response(status=204) if reply.status == 204 else reply_response(reply)
    return web.Response(status=202)
