"""Collections of known people: enrolling a face, looking at people, renaming and erasing them."""

from aiohttp import web

from api.app_keys import COLLECTIONS, READER
from api.bodies import parse_body
from api.endpoints import Content, Endpoint, Endpoints
from api.lookup import find_collection, find_job_face
from api.queries import PeopleQuery, parse_query
from api.replies import has_workers, reply_response, wait_for_reply
from api.responses import json_response, problem
from schemas.collections import (
    CollectionList,
    EnrolledFace,
    EnrolRequest,
    KnownPerson,
    PeopleList,
    RenameRequest,
)
from schemas.names import COLLECTION, ENROLLED_ID, PERSON_ID
from schemas.questions import Answer
from schemas.requests import RequestError
from schemas.store.collections import Candidate
from schemas.store.replies import new_question
from schemas.vectors import packed

endpoints = Endpoints()
_NAME = {"name": COLLECTION}
_PERSON = _NAME | {"person_id": PERSON_ID}


@endpoints.add(
    Endpoint("GET", "/faces/collections", "read", "The collections", responses={200: CollectionList})
)
async def collections(request: web.Request) -> web.Response:
    return json_response(CollectionList(collections=await request.app[COLLECTIONS].all()))


@endpoints.add(Endpoint(
    "DELETE", "/faces/collections/{name}", "admin", "Delete a collection",
    patterns=_NAME, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def drop(request: web.Request) -> web.Response:
    name, question = await find_collection(request), new_question()
    await request.app[COLLECTIONS].drop(name, question)
    return await _erased(request, question)


@endpoints.add(Endpoint(
    "POST", "/faces/collections/{name}/faces", "submit",
    "Enrol a face of a completed job, as whom the label says; the collection begins with its first face",
    patterns=_NAME, body=EnrolRequest,
    responses={200: EnrolledFace, 201: EnrolledFace, 202: EnrolledFace}, problems=(400, 404, 409, 413, 422),
))  # fmt: skip
async def enrol(request: web.Request) -> web.Response:
    """201 with the enrolled face, 200 when it was there already; 202 when it is accepted, and no worker has got
    round to it yet."""
    name = request.match_info["name"]
    if not COLLECTION.fullmatch(name):
        raise RequestError("name", f"{name!r} is no name; expected 1-64 letters, digits, . _ - ")
    wanted = parse_body(await request.read(), EnrolRequest)
    face, model, state = await find_job_face(request, wanted.job_id, wanted.face_id)
    thumbnail = await request.app[READER].thumbnail(state, wanted.face_id)
    question = new_question()
    how, face_id = await request.app[COLLECTIONS].admit(
        name,
        wanted.label,
        Candidate(packed(face.embedding), thumbnail or b""),
        model,
        wanted.job_id,
        wanted.face_id,
        question,
    )
    answer = await _acknowledged(request, question)
    if answer is None:
        enrolled = await request.app[COLLECTIONS].face(name, face_id)
        return (
            json_response(enrolled, 202) if enrolled else problem(404, "The face was erased in the meantime.")
        )
    return reply_response(answer, 201 if how == "new" else 200)


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/people", "read", "Who is in it",
    patterns=_NAME, query=PeopleQuery, responses={200: PeopleList}, problems=(400, 404),
))  # fmt: skip
async def people(request: web.Request) -> web.Response:
    """In the order in which they came; `after` continues a list."""
    name = await find_collection(request)
    query = parse_query(request.query, PeopleQuery)
    return json_response(await request.app[COLLECTIONS].people(name, query.limit, query.after))


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/people/{person_id}", "read", "A person's faces",
    patterns=_PERSON, responses={200: KnownPerson}, problems=(404,),
))  # fmt: skip
async def person(request: web.Request) -> web.Response:
    return await _person(request, await find_collection(request), _person_id(request))


@endpoints.add(Endpoint(
    "PATCH", "/faces/collections/{name}/people/{person_id}", "admin", "Give a person another label",
    patterns=_PERSON, body=RenameRequest, responses={200: KnownPerson}, problems=(400, 404, 409, 422),
))  # fmt: skip
async def rename(request: web.Request) -> web.Response:
    name, person_id = await find_collection(request), _person_id(request)
    label = parse_body(await request.read(), RenameRequest).label
    if not await request.app[COLLECTIONS].rename(name, person_id, label):
        return _nobody(name, person_id)
    return await _person(request, name, person_id)


@endpoints.add(Endpoint(
    "DELETE", "/faces/collections/{name}/people/{person_id}", "admin",
    "Erase a person, in results of jobs too",
    patterns=_PERSON, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def erase(request: web.Request) -> web.Response:
    name, person_id, question = await find_collection(request), _person_id(request), new_question()
    if not await request.app[COLLECTIONS].erase(name, person_id, question):
        return _nobody(name, person_id)
    return await _erased(request, question)


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/faces/{face_id}/thumbnail", "read", "An enrolled face, as it was seen",
    patterns=_NAME | {"face_id": ENROLLED_ID}, responses={200: Content({"image/jpeg": None}, "JPEG")},
    problems=(404,),
))  # fmt: skip
async def thumbnail(request: web.Request) -> web.Response:
    name, face_id = await find_collection(request), request.match_info["face_id"]
    picture = None
    if ENROLLED_ID.fullmatch(face_id):
        picture = await request.app[COLLECTIONS].thumbnail(name, face_id)
    if picture is None:
        return problem(404, f"Collection {name!r} has no picture of a face {face_id!r}.")
    return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _erased(request: web.Request, question: str) -> web.Response:
    """204 when the results of jobs tell of nobody erased any more either, 202 when that is still to be done."""
    answer = await _acknowledged(request, question)
    return web.Response(status=204 if answer else 202)


async def _acknowledged(request: web.Request, question: str) -> Answer | None:
    """The answer of the worker whose task it is; None: later, for nothing that was accepted is lost."""
    return await wait_for_reply(request, question) if await has_workers(request, "collections") else None


def _person_id(request: web.Request) -> str:
    person_id = request.match_info["person_id"]
    if not PERSON_ID.fullmatch(person_id):
        raise web.HTTPNotFound(text=f"{person_id!r} is no person's id.")
    return person_id


async def _person(request: web.Request, name: str, person_id: str) -> web.Response:
    found = await request.app[COLLECTIONS].person(name, person_id)
    return json_response(found) if found else _nobody(name, person_id)


def _nobody(name: str, person_id: str) -> web.Response:
    return problem(404, f"Collection {name!r} has no person {person_id!r}.")
