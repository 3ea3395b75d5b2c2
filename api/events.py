"""Server-sent events of a job (https://html.spec.whatwg.org/multipage/server-sent-events.html).

The job record is polled; a caller holds no connection to Redis. Every event carries the whole status, so a client
that missed some resumes with the current one.
"""

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from api.app_keys import PREVIEWS, READER, STOPPING
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.event_streams import HEARTBEAT, HEARTBEAT_SECONDS, MAX_STREAM_SECONDS, stream_events
from api.jobs import job_status
from api.lookup import find_job
from schemas.results import JobEvent
from schemas.store.job_reader import JobState

endpoints = Endpoints()

POLL_SECONDS = 0.5


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/events", "read", "What happens to a job, as it happens",
    parameters=[parameter("Last-Event-ID", "header")],
    responses={
        200: Content(
            {"text/event-stream": None},
            "Events stage, progress, end (data: JobEvent) and gone; 204 for who knows of the end",
        ),
        204: None,
    },
    problems=(404,), limited=False, allow_head=False,
))  # fmt: skip
async def events(request: web.Request) -> web.StreamResponse:
    """Streams the events of a job: `stage`, `progress`, `end`, or `gone` when it was deleted.

    204, which stops a browser from reconnecting, when Last-Event-ID names the end event.
    """
    state = await find_job(request)
    last_id = request.headers.get("Last-Event-ID", "")
    if state.ended and last_id == _event_id(state):
        return web.Response(status=204)
    return await stream_events(request, lambda stream: _write_events(request, stream, state, last_id))


async def _write_events(
    request: web.Request, stream: web.StreamResponse, state: JobState | None, last_id: str
) -> None:
    """Writes events until the job ends, the process stops or the stream reaches its maximum age."""
    clock, stopping = asyncio.get_running_loop().time, request.app[STOPPING]
    started = last_write = clock()
    while True:
        if state is None:
            await stream.write(b"event: gone\ndata: {}\n\n")
            return
        people = await _people(request, state)
        if (event_id := _event_id(state, people)) != last_id:
            await stream.write(_event(state, people, event_id, last_id))
            last_id, last_write = event_id, clock()
        elif clock() - last_write > HEARTBEAT_SECONDS:
            await stream.write(HEARTBEAT)
            last_write = clock()
        if state.ended or stopping.is_set() or clock() - started > MAX_STREAM_SECONDS:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
        state = await request.app[READER].read(state.job_id)


async def _people(request: web.Request, state: JobState) -> int | None:
    """The number of people so far; asks for a newer preview, which a later poll finds."""
    if state.ended:
        return None
    previews = request.app[PREVIEWS]
    await previews.ask(state)
    return await previews.count(state)


def _event(state: JobState, people: int | None, event_id: str, last_id: str) -> bytes:
    same_stage = last_id.partition("/")[0] == state.stage
    name = "end" if state.ended else "progress" if same_stage else "stage"
    status = msgspec.structs.asdict(job_status(state))
    data = msgspec.json.encode(JobEvent(**status, people=people)).decode()
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()


def _event_id(state: JobState, people: int | None = None) -> str:
    """The id of the event with this state."""
    return f"{state.stage}/{state.done}/{state.expected}/{'' if people is None else people}"
