"""Endpoints that submit, list, cancel and delete jobs."""

import msgspec
import structlog
from aiohttp import web
from msgspec import UNSET
from yarl import URL

from api.app_keys import CALLBACK_HOSTS, JOBS, KEY, PARTITIONS, READER, REDIS, SETTINGS, key_name
from api.bodies import read_json
from api.compression import packed
from api.endpoints import Endpoint, Endpoints, parameter
from api.lookup import find_job
from api.queries import JobsQuery, QueryError, parse_query
from api.responses import json_response, problem
from api.sources import require_sources
from api.uploads import job_deleted, note_job
from schemas.addresses import AllowList
from schemas.requests import AnalyzeRequest, RequestError, parse_request
from schemas.results import JobList, JobStatus, ListedJob, Submitted
from schemas.store.idempotency import KEY_PATTERN, KeyReused, job_for_key, parse_key
from schemas.store.job_reader import JobState
from schemas.store.job_record import rfc3339

endpoints = Endpoints()
log = structlog.get_logger(__name__)


@endpoints.add(Endpoint(
    "POST", "/faces/analyze", "submit", "Submit a video",
    parameters=[parameter(
        "Idempotency-Key", "header",
        pattern=KEY_PATTERN, description="The same key with the same request is the same job, for a day",
    )],
    body=AnalyzeRequest, responses={202: Submitted}, problems=(400, 404, 408, 409, 413, 415, 422),
))  # fmt: skip
async def analyze(request: web.Request) -> web.Response:
    """Submits a job; with an Idempotency-Key, at most once."""
    body = parse_request(await read_json(request))
    if body.callback_url is not None:
        _check_callback(request.app[CALLBACK_HOSTS], body.callback_url)
    owned = _with_caller(request, body)
    await require_sources(body, request.app[SETTINGS])
    job_id = body.job_id or request.app[PARTITIONS].new_job_id(body.video_path)
    repeats = None
    if (header := request.headers.get("Idempotency-Key")) is not None:
        job_id, repeats = await _idempotent_job_id(request, header, body, job_id)
    traceparent = request.headers.get("traceparent", "")
    submitted = await request.app[JOBS].submit(owned, job_id, traceparent, repeats)
    await note_job(request.app, body.video_path, job_id)
    log.info("job submitted", job=job_id, caller=owned.tenant or "")
    return json_response(submitted, status=202)


@endpoints.add(Endpoint(
    "GET", "/faces/jobs", "read", "The latest jobs first",
    query=JobsQuery, responses={200: JobList}, problems=(400,),
))  # fmt: skip
async def list_jobs(request: web.Request) -> web.Response:
    """Lists the jobs that match the query, latest first."""
    query = parse_query(request.query, JobsQuery)

    def matches(state: JobState) -> bool:
        return (
            query.status in (UNSET, state.status)
            and query.source_id in (UNSET, state.source_id)
            and query.library in (UNSET, state.library or "")
            and query.job_id in (UNSET, state.job_id)
        )

    if query.job_id is not UNSET:
        state = await request.app[READER].read(query.job_id)
        return json_response(JobList(jobs=[listed(state)] if state and matches(state) else [], next=None))
    page = await request.app[READER].latest(
        query.limit,
        query.cursor or None,
        matches=matches,
        since=query.created_after.timestamp() if query.created_after else None,
        until=query.created_before.timestamp() if query.created_before else None,
    )
    found = JobList(jobs=[listed(state) for state in page.states], next=page.next)
    body, headers = await packed(request, msgspec.json.encode(found))
    return web.Response(body=body, content_type="application/json", headers=headers)


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/status", "read", "How far a job is",
    responses={200: JobStatus}, problems=(404,),
))  # fmt: skip
async def status(request: web.Request) -> web.Response:
    """Reports the status and progress of a job."""
    return json_response(job_status(await find_job(request)))


@endpoints.add(Endpoint(
    "POST", "/faces/jobs/{job_id}/cancel", "submit", "Stop the work",
    responses={200: JobStatus}, problems=(404, 409),
))  # fmt: skip
async def cancel(request: web.Request) -> web.Response:
    """Cancels a job; 409 when it has ended."""
    state = await find_job(request)
    if not await request.app[JOBS].cancel(state.job_id):
        return problem(409, f"Job {state.job_id} is already {state.status}.")
    return json_response(job_status(await find_job(request)))


@endpoints.add(Endpoint(
    "POST", "/faces/jobs/{job_id}/retry", "submit", "Run a job that failed or was cancelled again",
    responses={202: Submitted}, problems=(404, 409),
))  # fmt: skip
async def retry(request: web.Request) -> web.Response:
    """Runs a failed or cancelled job again, with the request that it had; 409 for others."""
    state = await find_job(request)
    if state.status not in ("failed", "cancelled"):
        return problem(
            409, f"Job {state.job_id} is {state.status}; only a failed or cancelled one can run again."
        )
    body = await request.app[READER].request(state)
    if body is None:
        raise web.HTTPNotFound(text=f"The request of job {state.job_id} has expired.")
    traceparent = request.headers.get("traceparent", "")
    submitted = await request.app[JOBS].submit(_with_caller(request, body), state.job_id, traceparent, None)
    return json_response(submitted, status=202)


async def analyse_again(request: web.Request, state: JobState) -> str | None:
    """Submits the request of a job once more, as another job, with what was said of its film by now; returns its id.

    Returns:
        None when the request has expired.
    """
    body = await request.app[READER].request(state)
    if body is None:
        return None
    parameters = msgspec.structs.replace(body.parameters, divisions=None)
    body = msgspec.structs.replace(body, job_id=None, tenant=UNSET, callback_url=None, parameters=parameters)
    job_id = request.app[PARTITIONS].new_job_id(body.video_path)
    traceparent = request.headers.get("traceparent", "")
    await request.app[JOBS].submit(_with_caller(request, body), job_id, traceparent)
    await note_job(request.app, body.video_path, job_id)
    return job_id


@endpoints.add(Endpoint(
    "POST", "/faces/jobs/{job_id}/keep", "admin", "Keep a completed job and its result until it is deleted",
    responses={200: ListedJob}, problems=(404, 409),
))  # fmt: skip
async def keep(request: web.Request) -> web.Response:
    """Keeps a completed job until it is deleted; 409 when it has no result."""
    state = await find_job(request)
    if not await request.app[JOBS].keep(state.job_id):
        return problem(
            409, f"Job {state.job_id} is {state.status}; only the result of a completed job can be kept."
        )
    return json_response(listed(await find_job(request)))


@endpoints.add(Endpoint(
    "DELETE", "/faces/jobs/{job_id}", "admin", "Forget an ended job",
    responses={204: None}, problems=(404, 409),
))  # fmt: skip
async def delete(request: web.Request) -> web.Response:
    """Deletes an ended job and its result; 409 while it runs."""
    state = await find_job(request)
    if not await request.app[JOBS].delete(state.job_id):
        return problem(409, f"Job {state.job_id} is {state.status}; cancel it first.")
    await job_deleted(request.app, state.video_path)
    return web.Response(status=204)


def _with_caller(request: web.Request, body: AnalyzeRequest) -> AnalyzeRequest:
    """Returns the request with the caller whose job it is: its key, unless one with the scope admin names another."""
    key = request.get(KEY)
    if key is None or body.tenant == key.name:
        return body
    if body.tenant is UNSET:
        return msgspec.structs.replace(body, tenant=key.name)
    if not key.allows("admin"):
        raise web.HTTPForbidden(
            text=f"The key {key.name} submits jobs of {key.name}, not of {body.tenant}; that needs the scope admin."
        )
    return body


def _check_callback(allowed: AllowList, url: str) -> None:
    """Refuses a URL that is not on the allow list. The address behind its name is checked at delivery."""
    try:
        allowed.check(URL(url))
    except ValueError as error:
        raise RequestError("callback_url", str(error)) from error


async def _idempotent_job_id(
    request: web.Request, header: str, body: AnalyzeRequest, job_id: str
) -> tuple[str, float | None]:
    """The id of the job with this Idempotency-Key, and when it was used first: `job_id` and None when it is new.

    See https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
    """
    key = parse_key(header)
    if key is None:
        raise QueryError(
            "Idempotency-Key",
            "Expected 1-255 visible ASCII characters.",
            {"type": "string", "pattern": KEY_PATTERN},
        )
    app, caller = request.app, key_name(request)
    try:
        return await job_for_key(app[REDIS], app[PARTITIONS].home, key, caller, body, job_id)
    except KeyReused as error:
        raise RequestError("Idempotency-Key", str(error)) from error


def job_status(state: JobState) -> JobStatus:
    """Converts a job record into its public status."""
    return JobStatus(
        job_id=state.job_id,
        status=state.status,
        progress=round(state.progress, 4),
        stage=state.stage,
        message=_message(state),
        error=state.error,
        result_summary=state.summary,
        created_at=state.created_at,
        started_at=_moment(state, state.started),
        completed_at=_moment(state, state.ended_at),
        cached=state.alias is not None,
    )


def listed(state: JobState) -> ListedJob:
    """Converts a job record into what lists say of it."""
    return ListedJob(
        **msgspec.structs.asdict(job_status(state)),
        video_path=state.video_path,
        source_id=state.source_id,
        library=state.library,
        kept=state.kept,
        expires_in=None if state.expires_in is None else round(state.expires_in, 1),
    )


def _moment(state: JobState, seconds: float | None) -> str | None:
    """A time of a job as text; not before its submission, since an older job may answer for it."""
    return None if seconds is None else rfc3339(max(seconds, state.created))


def _message(state: JobState) -> str:
    match state.stage:
        case "queued":
            return "Waiting to begin"
        case "frames" | "analyze" if state.expected:
            return f"{state.done} of {state.expected} frames analysed"
        case "frames" | "analyze":
            return "Opening the source"
        case "finalize":
            return "Putting the faces together"
        case ended:
            return ended.capitalize()
