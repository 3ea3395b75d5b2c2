"""Bounds on connections: how many are open, and how long a caller may send no request or read no answer.

Without them, callers who open connections and leave them idle use up the open files of the process, and probes are
no longer answered (https://en.wikipedia.org/wiki/Slowloris_(cyber_attack)).
"""

import asyncio
import resource
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler
from prometheus_client import Counter

from api.metrics import registry
from api.responses import problem
from schemas.settings import SettingsError
from schemas.store.connection import MAX_CONNECTIONS as MAX_REDIS_CONNECTIONS

HEADER_TIMEOUT_SECONDS = 15.0
"""A new connection without a complete request header for this time is closed."""
KEEPALIVE_SECONDS = 65.0
"""The same for the next request of a connection; longer than the 60 seconds for which nginx keeps connections."""
UNREAD_TIMEOUT_SECONDS = 30.0
"""A connection is closed when its caller has read nearly nothing of an answer for this time."""
MAX_CONNECTIONS = 4096
"""Open connections of a process, where the limit on open files allows as many; an idle one takes about 5 KB."""
RESERVED_FILES = MAX_REDIS_CONNECTIONS + 256
"""Open files for other purposes, and for connections that are accepted while others are closed."""
MAX_LINE_BYTES = 16 << 10
"""Length of a request line: a path of 4,096 bytes takes three times as many in an address."""
BACKLOG = 1024
"""Connections that wait to be accepted; the system may allow fewer."""
_CLOSED = Counter(
    "faces_http_connections_closed", "Connections that were closed early", ["reason"], registry=registry
)


def raise_open_files() -> None:
    """Raises the limit on open files as far as this process may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def max_connections() -> int:
    """The number of connections that may be open, by the limit on open files.

    Raises:
        SettingsError: the limit is too low.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    if files < 2 * RESERVED_FILES:
        raise SettingsError(
            f"the limit on open files is {files}; the API needs {2 * RESERVED_FILES} (ulimit -n)"
        )
    return min(MAX_CONNECTIONS, files - RESERVED_FILES)


class Connections:
    """The open connections of this process.

    Above the limit, a new connection replaces the one that has been without a request for the longest time, so that
    a caller who sends a request at once, such as a probe, is answered. Requests in progress are fewer than the limit
    (`limit_concurrency`, `SharedSlots`).

    Args:
        limit: the most of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = set[Connection]()
        self._idle = dict[Connection, None]()  # in the order in which they became idle

    def add(self, connection: "Connection") -> None:
        """Adds a new connection, and closes one when there are too many."""
        if len(self._open) >= self._limit:
            next(iter(self._idle), connection).abort("limit")
        self._open.add(connection)
        self._idle[connection] = None

    def remove(self, connection: "Connection") -> None:
        """Removes a connection that is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def begin(self, connection: "Connection") -> None:
        """Marks a connection as one with a request in progress."""
        self._idle.pop(connection, None)

    def end(self, connection: "Connection") -> None:
        """Marks a connection as one without a request in progress."""
        if connection in self._open:
            self._idle[connection] = None


class Connection(web.RequestHandler):
    """A connection with bounds on the time without a request, and on the time for which an answer is not read."""

    __slots__ = ("_connections", "_header_timer", "_unread_timer")

    def __init__(self, server: web.Server, connections: Connections) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_LINE_BYTES,
            auto_decompress=False,  # compressed bodies are refused (api.bodies)
        )
        self._connections = connections
        self._header_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._header_timer = self._loop.call_later(HEADER_TIMEOUT_SECONDS, self.abort, "header")
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stops counting the connection."""
        self._connections.remove(self)
        for timer in (self._header_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begins to wait until the caller reads."""
        super().pause_writing()
        self._unread_timer = self._loop.call_later(UNREAD_TIMEOUT_SECONDS, self.abort, "unread")

    def resume_writing(self) -> None:
        """Ends the wait until the caller reads."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what cannot be read as a request, which no middleware sees, as other errors are answered."""
        super().handle_error(request, status, exc, message)  # logs it, and says whether an answer is possible
        if isinstance(exc, LineTooLong):
            detail = "The address or a header of the request is too long."
        else:
            detail = "The request is not valid HTTP." if status < 500 else HTTPStatus(status).description
        response = problem(status, detail)
        response.force_close()
        return response

    def begin(self) -> None:
        """Notes that a request has come."""
        if self._header_timer is not None:
            self._header_timer.cancel()
        self._connections.begin(self)

    def end(self) -> None:
        """Notes that a request has been handled."""
        self._connections.end(self)

    def abort(self, reason: str) -> None:
        """Closes the connection at once, whatever is still to be sent."""
        _CLOSED.labels(reason).inc()
        self._connections.remove(self)
        if self.transport is not None:
            self.transport.abort()


@web.middleware
async def mark_busy(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Marks the connection of a request while the request is in progress."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.end()


async def serve(app: web.Application, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves an application until `stop` is set.

    Raises:
        OSError: the address cannot be listened on.
    """
    connections = Connections(max_connections())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    try:
        await runner.setup()
        server = runner.server
        assert server is not None
        listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(server, connections), host, port, backlog=BACKLOG
        )
        await stop.wait()
        listener.close()
    finally:
        await runner.cleanup()
