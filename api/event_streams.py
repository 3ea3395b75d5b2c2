"""Streams of server-sent events: opening, bounds on their number and age, closing.

See https://html.spec.whatwg.org/multipage/server-sent-events.html. A caller holds no connection to Redis.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from api.limits import SharedSlots, caller_of
from schemas.store.server_errors import error_text

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
"""Silence after which a comment is sent, so that no proxy closes the connection as idle."""
MAX_STREAM_SECONDS = 600.0
"""Age at which a stream ends; browsers reconnect and resume by themselves."""
MAX_STREAMS = 256
"""Open streams of this process."""
RETRY_SECONDS = 2
"""Time after which a client reconnects."""
HEARTBEAT = b": still here\n\n"
OPEN_STREAMS = web.AppKey("open_streams", SharedSlots)


async def stream_events(
    request: web.Request, write: Callable[[web.StreamResponse], Awaitable[None]]
) -> web.StreamResponse:
    """Opens a stream, has its events written and closes it.

    Args:
        write: returns when there are no more events, or the stream is old enough.
    """
    with request.app[OPEN_STREAMS].hold(caller_of(request)):
        stream = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would buffer events otherwise
            }
        )
        await stream.prepare(request)
        with suppress(ConnectionResetError):  # the caller has disconnected
            await stream.write(f"retry: {RETRY_SECONDS * 1000}\n\n".encode())
            try:
                await write(stream)
            except RedisError as error:
                log.warning(
                    "event stream aborted", error=error_text(error)
                )  # the caller reconnects and resumes
            await stream.write_eof()
        return stream
