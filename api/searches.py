"""Whom a face belongs to: put to the collections' workers, and waited for."""

import asyncio
import math
import re
import time
from base64 import b64decode
from typing import TypeVar

import msgspec
from aiohttp import web

from api.app_keys import COLLECTIONS, PARTITIONS, QUESTIONS, READER, REDIS
from api.endpoints import Content, Endpoint, Endpoints
from api.errors import problem
from api.queries import SearchQuery, parse_query
from schemas.messages import SearchTask
from schemas.names import COLLECTION
from schemas.questions import Answer, Probe, SearchRequest, SearchResult
from schemas.requests import RequestError
from schemas.schema_errors import allowed, located
from schemas.store import workers
from schemas.store.replies import new_question
from schemas.vectors import DIMENSIONS, packed

endpoints = Endpoints()
T = TypeVar("T", bound=msgspec.Struct)

MISSING = re.compile(r"missing required field `(\w+)`")
WITHIN = 10.0
"""Seconds that a caller waits for a worker's answer."""
AT_ONCE = 32
"""Callers that wait at the same time in this process, each with a connection to the server; more are sent away."""
WAITING = web.AppKey("waiting", asyncio.Semaphore)


class JobFace(msgspec.Struct, frozen=True):
    """What is read of a result's face."""

    face_id: str
    embedding: list[float]


class _Model(msgspec.Struct, frozen=True):
    model: str


class _Result(msgspec.Struct, frozen=True):
    faces: list[JobFace]
    metadata: _Model


@endpoints.add(Endpoint(
    "POST", "/faces/collections/{name}/search", "submit",
    "Whose face it is: an embedding, a face of a job, or the largest face of a picture",
    patterns={"name": COLLECTION}, query=SearchQuery,
    body=Content({"application/json": SearchRequest, "image/*": None}),
    responses={200: SearchResult}, problems=(400, 404, 409, 413, 422, 504),
))  # fmt: skip
async def search(request: web.Request) -> web.Response:
    """The body is JSON (`SearchRequest`), or a picture: then `limit` and `threshold` are in the address."""
    name = await find_collection(request)
    if request.content_type.startswith("image/") or request.content_type == "application/octet-stream":
        wanted: SearchQuery | SearchRequest = parse_query(request.query, SearchQuery)
        probe = Probe(photograph=await request.read())
        if not probe.photograph:
            raise RequestError("", "The body is empty; expected a picture.")
    else:
        wanted = asked = parse(await request.read(), SearchRequest)
        probe = await _probe(request, asked)
    await _require_answer(request, "collections", *(["photographs"] if probe.photograph else []))
    task = SearchTask(
        collection=name,
        question=new_question(),
        limit=wanted.limit,
        threshold=wanted.threshold,
        until=time.time() + WITHIN,
    )
    await request.app[QUESTIONS].search(task, probe, request.headers.get("traceparent", ""))
    answer = await wait(request, task.question)
    if answer is None:
        return problem(504, f"No worker has answered within {WITHIN:g} s.", headers={"Retry-After": "5"})
    return respond(answer)


async def find_collection(request: web.Request) -> str:
    """The collection that the path names, else 404."""
    name = request.match_info["name"]
    if not COLLECTION.fullmatch(name) or not await request.app[COLLECTIONS].exists(name):
        raise web.HTTPNotFound(text=f"There is no collection {name!r}.")
    return name


async def job_face(request: web.Request, job_id: str, face_id: str) -> tuple[JobFace, str]:
    """A face of a completed job, and the model pack of that; else 404, or 409 while the job is not completed."""
    reader = request.app[READER]
    state = await reader.read(job_id)
    if state is None:
        raise web.HTTPNotFound(text=f"There is no job {job_id!r}, or it has expired.")
    stored = await reader.result(state) if state.status == "completed" else None
    if stored is None:
        raise web.HTTPConflict(text=f"Job {job_id} is {state.status} and has no result to take a face from.")
    result = await asyncio.to_thread(msgspec.json.decode, stored.body, type=_Result)
    for face in result.faces:
        if face.face_id == face_id:
            return face, result.metadata.model
    raise web.HTTPNotFound(text=f"Job {job_id} has no face {face_id!r}.")


async def wait(request: web.Request, question: str) -> Answer | None:
    """The answer to a question; None when it takes too long, or too many callers wait already."""
    waiting = request.app[WAITING]
    if waiting.locked():
        return None
    async with waiting:
        return await request.app[QUESTIONS].wait(question, WITHIN)


async def somebody_works(request: web.Request, *stages: str) -> bool:
    """Whether each of the stages has a worker that could answer."""
    alive = await workers.alive(request.app[REDIS], request.app[PARTITIONS].home)
    return set(stages) <= {worker.stage for worker in alive}


async def _require_answer(request: web.Request, *stages: str) -> None:
    """503 when no answer can be expected."""
    if not await somebody_works(request, *stages):
        raise web.HTTPServiceUnavailable(
            text=f"No worker is there for {' and '.join(stages)}.", headers={"Retry-After": "5"}
        )
    if request.app[WAITING].locked():
        raise web.HTTPServiceUnavailable(
            text=f"{AT_ONCE} callers wait for answers already; try again later.", headers={"Retry-After": "1"}
        )


def respond(answer: Answer, status: int | None = None) -> web.Response:
    if answer.status >= 400:
        return problem(answer.status, answer.detail)
    return web.Response(
        status=status or answer.status, body=bytes(answer.body), content_type="application/json"
    )


def parse(body: bytes, type_: type[T]) -> T:
    """The body as a struct; RequestError says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        path, said = located(error)
        missing = MISSING.search(said)
        raise RequestError(missing[1] if missing else path, said, allowed(type_, path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("", f"The body is not JSON: {error}") from error


async def _probe(request: web.Request, wanted: SearchRequest) -> Probe:
    if wanted.embedding is not None:
        if wanted.job_id is not None or wanted.face_id is not None:
            raise RequestError("embedding", "embedding, and job_id with face_id, are two questions; ask one.")
        return Probe(embedding=_embedding(wanted.embedding))
    if wanted.job_id is None or wanted.face_id is None:
        raise RequestError(
            "", "Expected embedding, or job_id and face_id; or a picture as the body, with its Content-Type."
        )
    face, model = await job_face(request, wanted.job_id, wanted.face_id)
    return Probe(embedding=packed(face.embedding), model=model)


def _embedding(given: list[float] | str) -> bytes:
    if isinstance(given, str):
        try:
            packed_numbers = b64decode(given, validate=True)
        except ValueError as error:
            raise RequestError("embedding", f"Not base64: {error}.") from error
    else:
        packed_numbers = packed(given)
    if len(packed_numbers) != 4 * DIMENSIONS:
        raise RequestError("embedding", f"Expected {DIMENSIONS} numbers.")
    length = math.hypot(*memoryview(packed_numbers).cast("f"))
    if not 1e-6 < length < 1e6:
        raise RequestError("embedding", "Expected finite numbers that are not all 0.")
    return packed_numbers
