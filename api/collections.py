"""Endpoints of collections of known people: enrol a face; list, rename and erase people."""

from aiohttp import web

from api.app_keys import COLLECTIONS, READER
from api.bodies import parse_body, read_json
from api.endpoints import Content, Endpoint, Endpoints
from api.limits import SlotsTaken
from api.lookup import find_collection, find_job_face
from api.queries import PeopleQuery, parse_query
from api.replies import has_workers, reply_response, wait_for_reply, waiting_slot
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
async def list_collections(request: web.Request) -> web.Response:
    """Lists all collections."""
    return json_response(CollectionList(collections=await request.app[COLLECTIONS].all()))


@endpoints.add(Endpoint(
    "DELETE", "/faces/collections/{name}", "admin", "Delete a collection",
    patterns=_NAME, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def delete_collection(request: web.Request) -> web.Response:
    """Deletes a collection, and its people from the results of jobs."""
    name, question = await find_collection(request), new_question()
    await request.app[COLLECTIONS].drop(name, question)
    return await _erasure_response(request, question)


@endpoints.add(Endpoint(
    "POST", "/faces/collections/{name}/faces", "submit",
    "Enrol a face of a completed job, as whom the label says; the collection begins with its first face",
    patterns=_NAME, body=EnrolRequest,
    responses={200: EnrolledFace, 201: EnrolledFace, 202: EnrolledFace}, problems=(400, 404, 408, 409, 413, 415, 422),
))  # fmt: skip
async def enrol(request: web.Request) -> web.Response:
    """Enrols a face: 201, 200 when it was enrolled already, 202 when no worker has processed it yet."""
    name = request.match_info["name"]
    if not COLLECTION.fullmatch(name):
        raise RequestError("name", f"{name!r} is not a valid name; expected 1-64 letters, digits, . _ - ")
    body = parse_body(await read_json(request), EnrolRequest)
    face, model, state = await find_job_face(request, body.job_id, body.face_id)
    thumbnail = await request.app[READER].thumbnail(state, body.face_id)
    question = new_question()
    outcome, face_id = await request.app[COLLECTIONS].admit(
        name,
        body.label,
        Candidate(packed(face.embedding), thumbnail or b""),
        model,
        body.job_id,
        body.face_id,
        question,
    )
    reply = await _reply(request, question)
    if reply is not None:
        return reply_response(reply, 201 if outcome == "new" else 200)
    enrolled = await request.app[COLLECTIONS].face(name, face_id)
    return json_response(enrolled, 202) if enrolled else problem(404, "The face was erased in the meantime.")


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/people", "read", "Who is in it",
    patterns=_NAME, query=PeopleQuery, responses={200: PeopleList}, problems=(400, 404),
))  # fmt: skip
async def list_people(request: web.Request) -> web.Response:
    """Lists the people of a collection in the order of their enrolment."""
    name = await find_collection(request)
    query = parse_query(request.query, PeopleQuery)
    return json_response(await request.app[COLLECTIONS].people(name, query.limit, query.after))


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/people/{person_id}", "read", "A person's faces",
    patterns=_PERSON, responses={200: KnownPerson}, problems=(404,),
))  # fmt: skip
async def show_person(request: web.Request) -> web.Response:
    """Shows a person and the enrolled faces."""
    return await _person(request, await find_collection(request), _person_id(request))


@endpoints.add(Endpoint(
    "PATCH", "/faces/collections/{name}/people/{person_id}", "admin", "Give a person another label",
    patterns=_PERSON, body=RenameRequest, responses={200: KnownPerson}, problems=(400, 404, 408, 409, 413, 415, 422),
))  # fmt: skip
async def rename_person(request: web.Request) -> web.Response:
    """Gives a person another label."""
    name, person_id = await find_collection(request), _person_id(request)
    label = parse_body(await read_json(request), RenameRequest).label
    if not await request.app[COLLECTIONS].rename(name, person_id, label):
        return _no_person(name, person_id)
    return await _person(request, name, person_id)


@endpoints.add(Endpoint(
    "DELETE", "/faces/collections/{name}/people/{person_id}", "admin",
    "Erase a person, in results of jobs too",
    patterns=_PERSON, responses={202: None, 204: None}, problems=(404,),
))  # fmt: skip
async def erase_person(request: web.Request) -> web.Response:
    """Erases a person from a collection and from the results of jobs."""
    name, person_id, question = await find_collection(request), _person_id(request), new_question()
    if not await request.app[COLLECTIONS].erase(name, person_id, question):
        return _no_person(name, person_id)
    return await _erasure_response(request, question)


@endpoints.add(Endpoint(
    "GET", "/faces/collections/{name}/faces/{face_id}/thumbnail", "read", "An enrolled face, as it was seen",
    patterns=_NAME | {"face_id": ENROLLED_ID}, responses={200: Content({"image/jpeg": None}, "JPEG")}, ticket=True,
    problems=(404,),
))  # fmt: skip
async def thumbnail(request: web.Request) -> web.Response:
    """Serves the picture of an enrolled face."""
    name, face_id = await find_collection(request), request.match_info["face_id"]
    jpeg = None
    if ENROLLED_ID.fullmatch(face_id):
        jpeg = await request.app[COLLECTIONS].thumbnail(name, face_id)
    if jpeg is None:
        return problem(404, f"Collection {name!r} has no picture of a face {face_id!r}.")
    return web.Response(body=jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _erasure_response(request: web.Request, question: str) -> web.Response:
    """204 when a worker has erased the people from the results of jobs too, 202 while that is pending."""
    reply = await _reply(request, question)
    return web.Response(status=204 if reply else 202)


async def _reply(request: web.Request, question: str) -> Answer | None:
    """The reply of the collections' worker; None when it is late or none runs. The task stays queued then."""
    if not await has_workers(request, "collections"):
        return None
    try:
        with waiting_slot(request):
            return await wait_for_reply(request, question)
    except SlotsTaken:
        return None


def _person_id(request: web.Request) -> str:
    person_id = request.match_info["person_id"]
    if not PERSON_ID.fullmatch(person_id):
        raise web.HTTPNotFound(text=f"{person_id!r} is not the id of a person.")
    return person_id


async def _person(request: web.Request, name: str, person_id: str) -> web.Response:
    person = await request.app[COLLECTIONS].person(name, person_id)
    return json_response(person) if person else _no_person(name, person_id)


def _no_person(name: str, person_id: str) -> web.Response:
    return problem(404, f"Collection {name!r} has no person {person_id!r}.")
