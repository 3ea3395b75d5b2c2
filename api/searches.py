"""Searches a collection or a library for the person that a face belongs to."""

import math
from base64 import b64decode

from aiohttp import web

from api.app_keys import REPLIES
from api.bodies import parse_body, read_body, read_json
from api.endpoints import Content, Endpoint, Endpoints
from api.library_lookup import find_library
from api.lookup import find_collection, find_job_face
from api.queries import SearchQuery, parse_query
from api.replies import REPLY_TIMEOUT_SECONDS, reply_response, require_workers, wait_for_reply, waiting_slot
from api.responses import problem
from schemas.library_view import LibrarySearchResult
from schemas.messages import SearchTask
from schemas.names import COLLECTION, LIBRARY
from schemas.questions import Probe, SearchRequest, SearchResult
from schemas.requests import RequestError
from schemas.store.replies import new_question
from schemas.vectors import DIMENSIONS, packed

endpoints = Endpoints()


@endpoints.add(Endpoint(
    "POST", "/faces/collections/{name}/search", "submit",
    "Whose face it is: an embedding, a face of a job, or the largest face of a picture",
    patterns={"name": COLLECTION}, query=SearchQuery,
    body=Content({"application/json": SearchRequest, "image/*": None}),
    responses={200: SearchResult}, problems=(400, 404, 408, 409, 413, 415, 422, 504),
))  # fmt: skip
async def search(request: web.Request) -> web.Response:
    """Searches for a face: the body is JSON, or a picture with `limit` and `threshold` in the query."""
    return await _search(request, await find_collection(request), library=False)


@endpoints.add(Endpoint(
    "POST", "/faces/libraries/{name}/search", "submit",
    "Who of a library it is: an embedding, a face of a job, or the largest face of a picture",
    patterns={"name": LIBRARY}, query=SearchQuery,
    body=Content({"application/json": SearchRequest, "image/*": None}),
    responses={200: LibrarySearchResult}, problems=(400, 404, 408, 409, 413, 415, 422, 504),
))  # fmt: skip
async def search_library(request: web.Request) -> web.Response:
    """Searches for a face in a library, as `search` does in a collection."""
    name, _ = await find_library(request)
    return await _search(request, name, library=True)


async def _search(request: web.Request, name: str, *, library: bool) -> web.Response:
    options: SearchQuery | SearchRequest
    if request.content_type.startswith("image/") or request.content_type == "application/octet-stream":
        options = parse_query(request.query, SearchQuery)
        probe = Probe(photograph=await read_body(request))
        if not probe.photograph:
            raise RequestError("", "The body is empty; expected a picture.")
    else:
        options = parse_body(await read_json(request), SearchRequest)
        probe = await _probe(request, options)
    stage = "library" if library else "collections"
    await require_workers(request, stage, *(["photographs"] if probe.photograph else []))
    task = SearchTask(
        collection=name,
        question=new_question(),
        limit=options.limit,
        threshold=options.threshold,
        library=library,
    )
    with waiting_slot(request):
        await request.app[REPLIES].search(
            task, probe, REPLY_TIMEOUT_SECONDS, request.headers.get("traceparent", "")
        )
        reply = await wait_for_reply(request, task.question)
    if reply is None:
        detail = f"No worker replied within {REPLY_TIMEOUT_SECONDS:g} s; try again later."
        return problem(504, detail, headers={"Retry-After": "5"})
    return reply_response(reply)


async def _probe(request: web.Request, body: SearchRequest) -> Probe:
    if body.embedding is not None:
        if body.job_id is not None or body.face_id is not None:
            raise RequestError("embedding", "Send either embedding, or job_id and face_id, not both.")
        return Probe(embedding=_embedding(body.embedding))
    if body.job_id is None or body.face_id is None:
        raise RequestError(
            "", "Expected embedding, or job_id and face_id; or a picture as the body, with its Content-Type."
        )
    face, model, _ = await find_job_face(request, body.job_id, body.face_id)
    return Probe(embedding=packed(face.embedding), model=model)


def _embedding(value: list[float] | str) -> bytes:
    """An embedding as 512 little-endian 32-bit floats, from numbers or base64."""
    if isinstance(value, str):
        try:
            numbers = b64decode(value, validate=True)
        except ValueError as error:
            raise RequestError("embedding", f"Not base64: {error}.") from error
    else:
        numbers = packed(value)
    if len(numbers) != 4 * DIMENSIONS:
        raise RequestError("embedding", f"Expected {DIMENSIONS} numbers.")
    length = math.hypot(*memoryview(numbers).cast("f"))
    if not 1e-6 < length < 1e6:
        raise RequestError("embedding", "Expected finite numbers that are not all 0.")
    return numbers
