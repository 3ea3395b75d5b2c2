"""Looks up the jobs, results, faces and collections that a request names; raises 404 or 409."""

import msgspec
from aiohttp import web

from api.app_keys import COLLECTIONS, READER
from schemas.names import COLLECTION
from schemas.store.job_reader import JobState, StoredResult
from schemas.store.results import ResultChanged


class JobFace(msgspec.Struct, frozen=True):
    """The part of a result's face that enrolling and searching use."""

    face_id: str
    embedding: list[float]


async def find_job(request: web.Request, job_id: str | None = None) -> JobState:
    """The job with this id, by default the one in the path; else 404."""
    if job_id is None:
        job_id = request.match_info["job_id"]
    state = await request.app[READER].read(job_id)
    if state is None:
        raise web.HTTPNotFound(text=f"There is no job {job_id!r}, or it has expired.")
    return state


def require_completed(state: JobState) -> None:
    """Raises 409 for a job that has no result yet, or never will."""
    if state.status != "completed":
        reason = state.error or "it has no result yet."
        raise web.HTTPConflict(text=f"Job {state.job_id} is {state.status}: {reason}")


async def stored_result(request: web.Request, state: JobState, most_bytes: int) -> StoredResult:
    """The whole result of a job; 409 unless it is completed and no larger, 404 when the result has expired."""
    require_completed(state)
    reader = request.app[READER]
    if (head := await reader.result_head(state)) is None:
        raise result_expired(state)
    body = bytearray()
    try:
        async for part in reader.result_parts(state, head):
            body += part
            if len(body) > most_bytes:
                raise web.HTTPConflict(
                    text=f"The result of job {state.job_id} is too large for this page;"
                    f" /faces/jobs/{state.job_id}/results has it."
                )
    except ResultChanged as error:
        raise result_expired(state) from error
    return StoredResult(bytes(body), head.type, head.etag)


def result_expired(state: JobState) -> web.HTTPNotFound:
    """The error for a completed job whose result is no longer kept."""
    return web.HTTPNotFound(text=f"The result of job {state.job_id} has expired.")


async def find_job_face(request: web.Request, job_id: str, face_id: str) -> tuple[JobFace, str, JobState]:
    """A face of a completed job, the model pack of its embedding, and the job; else 404, or 409 without a result."""
    state = await find_job(request, job_id)
    require_completed(state)
    try:
        found = await request.app[READER].face(state, face_id, JobFace)
    except KeyError as error:
        raise web.HTTPNotFound(text=f"Job {job_id} has no face {face_id!r}.") from error
    except ResultChanged:
        found = None
    if found is None:
        raise web.HTTPConflict(text=f"The result of job {job_id} has expired, and its faces with it.")
    return (*found, state)


async def find_collection(request: web.Request) -> str:
    """The name of the collection in the path; 404 when there is none."""
    name = request.match_info["name"]
    if not COLLECTION.fullmatch(name) or not await request.app[COLLECTIONS].exists(name):
        raise web.HTTPNotFound(text=f"There is no collection {name!r}.")
    return name
