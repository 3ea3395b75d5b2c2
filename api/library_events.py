"""Server-sent events of a library: films that were added, people who were named, merged, erased."""

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from api.app_keys import LIBRARIES, LIBRARY_READER, STOPPING
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.event_streams import HEARTBEAT, HEARTBEAT_SECONDS, MAX_STREAM_SECONDS, stream_events
from api.libraries import NAME
from api.library_lookup import find_library
from schemas.library import ENTRY_ID

endpoints = Endpoints()
POLL_SECONDS = 1.0


@endpoints.add(Endpoint(
    "GET", "/faces/libraries/{name}/events", "read", "What happens in a library, as it happens",
    patterns=NAME, parameters=[parameter("Last-Event-ID", "header")],
    responses={200: Content(
        {"text/event-stream": None}, "Events film, correction, joined, resolved, erased (data: LibraryEvent)"
    )},
    problems=(404,), limited=False, allow_head=False,
))  # fmt: skip
async def events(request: web.Request) -> web.StreamResponse:
    """Streams the entries of a library's log from now on, or those after Last-Event-ID."""
    name, _ = await find_library(request)
    last = request.headers.get("Last-Event-ID", "")
    if not ENTRY_ID.fullmatch(last):
        last = (await request.app[LIBRARIES].position(name)).last
    return await stream_events(request, lambda stream: _write(request, stream, name, last))


async def _write(request: web.Request, stream: web.StreamResponse, name: str, last: str) -> None:
    clock, stopping = asyncio.get_running_loop().time, request.app[STOPPING]
    started = last_write = clock()
    await stream.write(
        f"id: {last}\n\n".encode()
    )  # a client that breaks off before the first event resumes here
    while not stopping.is_set() and clock() - started < MAX_STREAM_SECONDS:
        async for entry in request.app[LIBRARIES].entries(name, last):
            event = await request.app[LIBRARY_READER].event(name, entry)
            data = msgspec.json.encode(event).decode()
            await stream.write(f"id: {entry.entry_id}\nevent: {event.kind}\ndata: {data}\n\n".encode())
            last, last_write = entry.entry_id, clock()
        if clock() - last_write > HEARTBEAT_SECONDS:
            await stream.write(HEARTBEAT)
            last_write = clock()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
