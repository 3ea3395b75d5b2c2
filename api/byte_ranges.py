"""Byte ranges and conditions of requests for files (RFC 9110, sections 13 and 14), and sending files.

aiohttp's FileResponse is not used: it takes If-Range as a date alone, so that a player with the entity tag of an
earlier file would be sent parts of two; it refuses several ranges; callers wait for the rest of a file that shrinks.
"""

import asyncio
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import ParamSpec, TypeVar

from aiohttp import hdrs, web

from schemas.opened_file import OpenedFile

PIECE_BYTES = 256 << 10
"""Bytes of a file that are read and sent at a time; a caller holds one piece in memory."""
DISK_THREADS = 4
"""Threads that read and write files: a disk that does not answer delays films, and nothing else of the API."""
DISK = web.AppKey("disk", ThreadPoolExecutor)
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


T = TypeVar("T")
P = ParamSpec("P")


async def on_disk(app: web.Application, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs what waits for a disk in one of the `DISK_THREADS`."""
    return await asyncio.get_running_loop().run_in_executor(app[DISK], partial(call, *args, **kwargs))


class Unsatisfiable(Exception):
    """The requested range begins after the end of the file."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte of a Range header and the one after the last; None: the whole file is served.

    Several ranges, other units and what is malformed count as no range, as RFC 9110 allows.

    Raises:
        Unsatisfiable: no byte of the file is in the range.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return None
    if begin >= size:
        raise Unsatisfiable
    return begin, end


async def send_file(request: web.Request, file: OpenedFile, media_type: str) -> web.StreamResponse:
    """Sends an open file, or the requested range of it; 304 and 416 where these are the answer.

    Every byte comes from the descriptor that was opened and checked. A file that shrinks meanwhile ends the
    connection.
    """
    status = file.status
    tag = f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'
    modified = formatdate(int(status.st_mtime), usegmt=True)
    headers = {
        hdrs.ETAG: tag,
        hdrs.LAST_MODIFIED: modified,
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.CACHE_CONTROL: "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if {etag.value for etag in request.if_none_match or ()} & {tag.strip('"'), "*"}:
        return web.Response(status=304, headers=headers)
    begin, end, code = 0, status.st_size, 200
    condition = request.headers.get(hdrs.IF_RANGE, tag).strip()
    if (header := request.headers.get(hdrs.RANGE)) is not None and condition in (tag, modified):
        try:
            found = parse_range(header, status.st_size)
        except Unsatisfiable:
            headers[hdrs.CONTENT_RANGE] = f"bytes */{status.st_size}"
            return web.Response(status=416, headers=headers)
        if found is not None:
            begin, end, code = *found, 206
            headers[hdrs.CONTENT_RANGE] = f"bytes {begin}-{end - 1}/{status.st_size}"
    headers[hdrs.CONTENT_TYPE] = media_type
    headers[hdrs.CONTENT_LENGTH] = str(end - begin)
    response = web.StreamResponse(status=code, headers=headers)
    with suppress(ConnectionResetError):  # the caller has disconnected: players do so when they seek
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _send(request, response, file, begin, end)
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, file: OpenedFile, begin: int, end: int
) -> None:
    with open(file, "rb", buffering=0) as source:  # noqa: PTH123, ASYNC230  # of /proc: it does not wait for a disk
        while begin < end:
            length = min(PIECE_BYTES, end - begin)
            piece = await on_disk(request.app, os.pread, source.fileno(), length, begin)
            if not piece:  # the file has shrunk: without the rest the caller notices
                if request.transport is not None:
                    request.transport.abort()
                return
            await response.write(piece)
            begin += len(piece)
    await response.write_eof()
