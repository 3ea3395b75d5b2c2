"""The pages: jobs, and the people of jobs while they run and afterwards. They tell nothing by themselves: what they
show, their scripts ask for, with the key that a person types in where one is asked for."""

import asyncio

import msgspec
from aiohttp import web

from api.app_keys import PREVIEWS, READER
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.lookup import find_job, stored_result
from api.pages import report
from api.pages.page import Page
from api.pages.report import Reported
from api.queries import QueryError
from schemas.names import JOB_ID
from schemas.results import Metadata, Rejected, ResultBody
from schemas.store.job_reader import JobState, StoredResult
from schemas.store.pictures import NO_PICTURES

endpoints = Endpoints()

JOBS_PAGE = Page("jobs.html", ("base.css", "jobs.css"), ("dom.js", "access.js", "jobs.js"), asks=True)
JOBS_OF_A_REPORT = 50
_PAGE = Content({"text/html": None}, "A page")
_JOBS = "Job ids with commas between"


@endpoints.add(Endpoint("GET", "/faces/", "page", "Jobs, queues and dead letters", responses={200: _PAGE}))
async def jobs_page(_: web.Request) -> web.Response:
    """What is queued, running, done and failed; the queues; the messages that were given up."""
    return _html(JOBS_PAGE, JOBS_PAGE.render("Faces"))


@endpoints.add(Endpoint("GET", "/", "page", None))
@endpoints.add(Endpoint("GET", "/faces", "page", None))
async def to_the_jobs_page(_: web.Request) -> web.Response:
    raise web.HTTPFound("/faces/")


@endpoints.add(Endpoint(
    "GET", "/faces/watch", "page", "The people of jobs, while they run too",
    parameters=[parameter("jobs", "query", description=_JOBS)], responses={200: _PAGE},
))  # fmt: skip
async def live_page(_: web.Request) -> web.Response:
    """The people of the jobs in its query, `jobs=A,B`; it fills while they run."""
    return _html(report.LIVE, report.LIVE.render("People"))


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/people", "read", "The people of a job, so far while it runs, for pages",
    responses={200: Content({"application/json": None}, "What a page shows")}, problems=(404, 409),
))  # fmt: skip
async def people(request: web.Request) -> web.Response:
    """What the live page shows of a job: of a running one, the people so far, as of some seconds ago."""
    state = await find_job(request)
    if state.ended:
        reported = await reported_job(request, state, await stored_result(request, state))
    else:
        previews = request.app[PREVIEWS]
        told = await previews.read(state)
        await previews.ask(state)
        body, pictures = told or (_nobody(state), NO_PICTURES)
        source = state.request.source_id
        frames = max(1, state.expected)
        reported = Reported(state.job_id, source, body, pictures, state.request.parameters, frames)
    return web.Response(
        body=await asyncio.to_thread(report.data, [reported]),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@endpoints.add(Endpoint(
    "GET", "/faces/report", "read", "The people of several jobs as one page",
    parameters=[parameter(
        "jobs", "query", required=True, description=_JOBS,
        pattern=f"^{JOB_ID.pattern}(,{JOB_ID.pattern}){{0,{JOBS_OF_A_REPORT - 1}}}$",
    )],
    responses={200: _PAGE}, problems=(400, 404, 409),
))  # fmt: skip
async def report_of_several(request: web.Request) -> web.Response:
    """The people of several completed jobs, `jobs=A,B`, as one page that makes no further request."""
    states = [await find_job(request, job_id) for job_id in _job_ids(request)]
    jobs = [await reported_job(request, state, await stored_result(request, state)) for state in states]
    body = await asyncio.to_thread(report.render, jobs)
    return _html(report.PAGE, body)


async def reported_job(request: web.Request, state: JobState, stored: StoredResult) -> Reported:
    """A completed job as the report shows it: its result, and the pictures of its people."""
    result = await asyncio.to_thread(msgspec.json.decode, stored.body, type=ResultBody)
    face_ids = [face.face_id for face in result.faces[: report.PEOPLE]]
    pictures = await request.app[READER].pictures(state, face_ids)
    return Reported(state.job_id, state.request.source_id, result, pictures, state.request.parameters)


def page_headers(page: Page) -> dict[str, str]:
    return {
        "Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _html(page: Page, body: bytes) -> web.Response:
    headers = {"Cache-Control": "private, no-cache", **page_headers(page)}
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


def _job_ids(request: web.Request) -> list[str]:
    job_ids = list(dict.fromkeys(filter(None, request.query.get("jobs", "").split(","))))
    if not job_ids or len(job_ids) > JOBS_OF_A_REPORT or not all(map(JOB_ID.fullmatch, job_ids)):
        raise QueryError("jobs", f"Expected 1 to {JOBS_OF_A_REPORT} job ids with commas between.")
    return job_ids


def _nobody(state: JobState) -> ResultBody:
    """What can be told of a job before anybody was found."""
    metadata = Metadata(
        video_path=state.request.video_path, total_frames=state.sampled, frames_processed=state.done,
        unique_faces=0, total_detections=0, processing_time_seconds=0.0, method="", model="", providers=[],
        detector_sizes=[], min_confidence=None, sharpness_method=None, occlusion_model=None, rejected=Rejected(),
        failed_frames=[], failed_frames_count=0, enhancement=None, warnings=[],
    )  # fmt: skip
    return ResultBody(status="completed", faces=[], metadata=metadata)
