"""What happens to a job, as server-sent events: for callers who would otherwise ask again and again.

The job record is looked at twice a second; no connection to the server is held for a caller. An event carries the
whole status of the job, so a later one makes an earlier one worthless, and resuming is telling what is new since.
"""

import asyncio
from contextlib import suppress

import msgspec
import structlog
from aiohttp import web
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.app_keys import PREVIEWS, READER, STOPPING
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.jobs import job_status
from api.lookup import find_job
from schemas.results import JobEvent
from schemas.store.job_reader import JobState

endpoints = Endpoints()
log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that nobody between takes the connection for dead."""
LIFE = 600.0
"""Seconds after which a stream ends; a browser comes back by itself and goes on where it was."""
STREAMS = 256
"""Streams at once in this process; more callers are asked to come back."""
RETRY_AFTER = 2
OPEN = web.AppKey("open_streams", set[asyncio.Task[object]])


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
    """`stage` when the job enters another stage, `progress` within one, `end` when it has ended, `gone` when
    somebody deleted it. 204, which tells a browser to stop, for who knows of the end already."""
    state = await find_job(request)
    seen = request.headers.get("Last-Event-ID", "")
    if state.ended and seen == _mark(state):
        return web.Response(status=204)
    streams, task = request.app[OPEN], asyncio.current_task()
    assert task is not None
    if len(streams) >= STREAMS:
        raise web.HTTPServiceUnavailable(
            text=f"{STREAMS} callers follow jobs already; try again later.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    streams.add(task)
    try:
        return await _stream(request, state, seen)
    finally:
        streams.discard(task)


async def _stream(request: web.Request, state: JobState | None, seen: str) -> web.StreamResponse:
    stream = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # or nginx keeps events back
        }
    )
    await stream.prepare(request)
    with suppress(ConnectionResetError):  # the caller has gone
        await stream.write(f"retry: {RETRY_AFTER * 1000}\n\n".encode())
        try:
            await _tell(request, stream, state, seen)
        except (RedisConnectionError, RedisTimeoutError) as error:
            log.warning("server unreachable", error=str(error))  # the caller comes back and resumes
        await stream.write_eof()
    return stream


async def _tell(request: web.Request, stream: web.StreamResponse, state: JobState | None, seen: str) -> None:
    """Until the job has ended, this process is to stop or the stream is old enough."""
    clock, stopping = asyncio.get_running_loop().time, request.app[STOPPING]
    began = spoke = clock()
    while True:
        if state is None:
            await stream.write(b"event: gone\ndata: {}\n\n")
            return
        people = await _people(request, state)
        if (mark := _mark(state, people)) != seen:
            await stream.write(_event(state, people, mark, seen))
            seen, spoke = mark, clock()
        elif clock() - spoke > HEARTBEAT:
            await stream.write(b": still here\n\n")
            spoke = clock()
        if state.ended or stopping.is_set() or clock() - began > LIFE:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_EVERY)
        state = await request.app[READER].read(state.job_id)


async def _people(request: web.Request, state: JobState) -> int | None:
    """How many people there are so far; asks for a newer count, which a later look finds."""
    if state.ended:
        return None
    previews = request.app[PREVIEWS]
    await previews.ask(state)
    return await previews.count(state)


def _event(state: JobState, people: int | None, mark: str, seen: str) -> bytes:
    same_stage = seen.partition("/")[0] == state.stage
    name = "end" if state.ended else "progress" if same_stage else "stage"
    status = msgspec.structs.asdict(job_status(state))
    data = msgspec.json.encode(JobEvent(**status, people=people)).decode()
    return f"id: {mark}\nevent: {name}\ndata: {data}\n\n".encode()


def _mark(state: JobState, people: int | None = None) -> str:
    """The id of the event that tells this state."""
    return f"{state.stage}/{state.done}/{state.expected}/{'' if people is None else people}"
