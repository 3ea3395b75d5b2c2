"""Serves the people of jobs, while they run and afterwards, as pages of one or several jobs.

A page holds no data. Its script loads it from the API, with the key that a person enters where keys are required.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import hdrs, web

from api.app_keys import PREVIEWS, READER
from api.compression import packed
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.library_results import with_people
from api.lookup import find_job, stored_result
from api.pages import report
from api.pages.page import Page
from api.pages.report import Reported
from api.queries import PicturesQuery, QueryError, parse_query
from schemas.metadata import Metadata, Rejected
from schemas.names import JOB_ID
from schemas.requests import Parameters
from schemas.results import ResultBody
from schemas.store.job_reader import JobState, StoredResult
from schemas.store.pictures import NO_PICTURES

endpoints = Endpoints()

MAX_REPORT_JOBS = 50
"""Jobs on one report page."""
MAX_RESULTS_BYTES = 64 << 20
"""Of all results on a page, as JSON."""
NO_JOBS = b"[]"
RENDERING = web.AppKey("rendering", asyncio.Lock)
"""Held while results are decoded for a page."""
_PAGE = Content({"text/html": None}, "A page")
_JOBS = "Job ids with commas between"


@endpoints.add(Endpoint(
    "GET", "/faces/watch", "page", "The people of jobs, while they run too",
    parameters=[parameter("jobs", "query", description=_JOBS)], responses={200: _PAGE},
))  # fmt: skip
async def live_page(request: web.Request) -> web.Response:
    """Serves the page that shows the people of the jobs in its query, `jobs=A,B`, while they run too."""
    return report.LIVE.response(request)


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/people", "read", "The people of a job, so far while it runs, for pages",
    query=PicturesQuery,
    responses={200: Content({"application/json": None}, "A list of one job, as pages show it, or of none")},
    problems=(400, 409),
))  # fmt: skip
async def people(request: web.Request) -> web.Response:
    """Serves a job's people to pages; of a running job, those of the latest preview.

    The list is empty for a job without people to show: it failed, was cancelled, or is gone, which may have happened
    since the page learnt of it.
    """
    query = parse_query(request.query, PicturesQuery)
    state = await request.app[READER].read(request.match_info["job_id"])
    if state is None or state.status in ("failed", "cancelled"):
        body = NO_JOBS
    elif state.ended:
        try:
            body = await rendered(request, [state], report.data, query.pictures == "inline")
        except web.HTTPNotFound:  # the result has just expired
            body = NO_JOBS
    else:
        previews = request.app[PREVIEWS]
        preview = await previews.read(state)
        await previews.ask(state)
        result, pictures = preview or (_empty_result(state), NO_PICTURES)
        parameters, frames = await _parameters(request, state), max(1, state.expected)
        reported = Reported(state.job_id, state.source_id, result, pictures, parameters, frames)
        body = await asyncio.to_thread(report.data, [reported])
    body, headers = await packed(request, body)
    headers[hdrs.CACHE_CONTROL] = "no-store"
    return web.Response(body=body, content_type="application/json", headers=headers)


@endpoints.add(Endpoint(
    "GET", "/faces/report", "read", "The people of several jobs as one page",
    parameters=[parameter(
        "jobs", "query", required=True, description=_JOBS,
        pattern=f"^{JOB_ID.pattern}(,{JOB_ID.pattern}){{0,{MAX_REPORT_JOBS - 1}}}$",
    )],
    responses={200: _PAGE}, problems=(400, 404, 409),
))  # fmt: skip
async def report_of_several(request: web.Request) -> web.Response:
    """Serves the people of several completed jobs, `jobs=A,B`, as one self-contained page."""
    states = [await find_job(request, job_id) for job_id in _job_ids(request)]
    return _html(report.PAGE, await rendered(request, states, report.render))


async def rendered(
    request: web.Request,
    states: Sequence[JobState],
    render: Callable[[Sequence[Reported]], bytes],
    with_pictures: bool = True,
) -> bytes:
    """Collects and renders what is shown of completed jobs, for one request of this process at a time.

    Decoded results take several times the memory of their text: 12 pages of 124 MB took 6 GB.
    """
    async with request.app[RENDERING]:
        jobs, left = list[Reported](), MAX_RESULTS_BYTES
        for state in states:
            stored = await stored_result(request, state, left)
            left -= len(stored.body)
            jobs.append(await _reported(request, state, stored, with_pictures))
        return await asyncio.to_thread(render, jobs)


async def _reported(
    request: web.Request, state: JobState, stored: StoredResult, with_pictures: bool
) -> Reported:
    """Collects what the report shows of a completed job: result, pictures, parameters."""
    body = await with_people(request, state, stored.body, 0, 1)
    result = await asyncio.to_thread(msgspec.json.decode, body, type=ResultBody)
    face_ids = [face.face_id for face in result.faces[: report.MAX_PEOPLE]]
    pictures = await request.app[READER].pictures(state, face_ids if with_pictures else [])
    return Reported(state.job_id, state.source_id, result, pictures, await _parameters(request, state))


async def _parameters(request: web.Request, state: JobState) -> Parameters:
    """The parameters of a job; the defaults when its record has just expired."""
    requested = await request.app[READER].request(state)
    return requested.parameters if requested else Parameters()


def _html(page: Page, body: bytes) -> web.Response:
    headers = {"Cache-Control": "private, no-cache", **page.headers}
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


def _job_ids(request: web.Request) -> list[str]:
    job_ids = list(dict.fromkeys(filter(None, request.query.get("jobs", "").split(","))))
    if not job_ids or len(job_ids) > MAX_REPORT_JOBS or not all(map(JOB_ID.fullmatch, job_ids)):
        raise QueryError("jobs", f"Expected 1 to {MAX_REPORT_JOBS} job ids, separated by commas.")
    return job_ids


def _empty_result(state: JobState) -> ResultBody:
    """The result of a running job without a preview: no people yet."""
    metadata = Metadata(
        video_path=state.video_path, total_frames=state.sampled, frames_processed=state.done,
        unique_faces=0, total_detections=0, processing_time_seconds=0.0, method="", model="", providers=[],
        detector_sizes=[], min_confidence=None, sharpness_method=None, occlusion_model=None, rejected=Rejected(),
        failed_frames=[], failed_frames_count=0, enhancement=None, warnings=[], sampled_frames=state.sampled,
    )  # fmt: skip
    return ResultBody(status="completed", faces=[], metadata=metadata)
