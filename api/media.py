"""Endpoints for the media that jobs are about: playing a job's film, and looking through the media roots.

Both exist where the API's host sees the media, and FACES_SERVE_MEDIA is not 0.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from api.app_keys import SETTINGS
from api.byte_ranges import on_disk, send_file
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.jobs import listed
from api.limits import SharedSlots, caller_of
from api.lookup import find_job
from api.media_types import SIGNATURE_BYTES, media_type
from api.queries import parse_query
from api.responses import json_response
from api.thumbnails import BLANK
from schemas.file_names import to_text
from schemas.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, not_the_owners
from schemas.opened_file import OpenedFile
from schemas.results import ListedJob
from schemas.settings import Settings
from schemas.source_files import KERNEL_FILES, FileRefused, open_allowed
from schemas.store.job_reader import JobState

endpoints = Endpoints()

MAX_PLAYERS = 128
"""Films that this process sends at the same time; a player uses up to three."""
PLAYERS = web.AppKey("players", SharedSlots)
MAX_ENTRIES = 2000
"""Entries of a directory that are listed; the first ones by name."""
MAX_SCANNED = 50_000
"""Entries of a directory that are looked at."""
BROWSERS = web.AppKey("browsers", asyncio.Semaphore)
MAX_BROWSERS = 4
"""Directories that are read at the same time."""
_PARAMETERS = [
    *(parameter(name, "header") for name in ("Range", "If-Range", "If-None-Match")),
    BLANK,
]


class MediaQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Directory to look into.

    Attributes:
        path: of the directory; empty: where to begin.
    """

    path: Annotated[str, Meta(max_length=4096)] = ""


class MediaEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A directory, film or picture.

    Attributes:
        path: as `video_path` of a request takes it.
        size: bytes; null: of a directory.
        modified: Unix seconds.
    """

    name: str
    path: str
    kind: Literal["directory", "film", "picture"]
    size: int | None
    modified: float


class MediaDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory holds: directories first, each kind by name.

    Attributes:
        path: empty: the entries are the media roots.
        parent: the directory above; null: there is none that may be read; empty: the list of media roots.
        truncated: it holds more.
    """

    path: str
    parent: str | None
    entries: list[MediaEntry]
    truncated: bool


class ShownJob(ListedJob, frozen=True, kw_only=True, omit_defaults=True):
    """A job, and whether its film can be played.

    Attributes:
        media_type: of what `/media` sends; null: nothing.
    """

    media_type: str | None = None


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}", "read", "A job, and whether its film can be played",
    responses={200: ShownJob}, problems=(404,),
))  # fmt: skip
async def show(request: web.Request) -> web.Response:
    """Shows a job as the list of jobs does, with the media type of its film."""
    state, settings, type_ = await find_job(request), request.app[SETTINGS], None
    if settings.serve_media and _is_read(state):
        with suppress(web.HTTPNotFound):
            _, type_ = await on_disk(request.app, _film, state.video_path, settings)
    return json_response(ShownJob(**msgspec.structs.asdict(listed(state)), media_type=type_))


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/media", "read", "The film or picture of a job, whole or a range of its bytes",
    parameters=_PARAMETERS,
    responses={
        200: Content({"video/*": None, "image/*": None}, "All of it"),
        204: None,
        206: Content({"video/*": None, "image/*": None}, "The range"),
        304: None,
    },
    problems=(404, 409, 416), limited=False, ticket=True,
))  # fmt: skip
async def media(request: web.Request) -> web.StreamResponse:
    """Sends the film of a job; 404 where this host does not have it as a file below the media roots."""
    settings = request.app[SETTINGS]
    _require_served(settings)
    state = await find_job(request)
    if not _is_read(state):
        raise web.HTTPConflict(text=f"Job {state.job_id} is {state.status}: no frame of it has been read.")
    with request.app[PLAYERS].hold(caller_of(request)):
        file, type_ = await on_disk(request.app, _film, state.video_path, settings)
        return await send_file(request, file, type_)


@endpoints.add(Endpoint(
    "GET", "/faces/media", "submit", "What a directory below the media roots holds",
    query=MediaQuery, responses={200: MediaDirectory}, problems=(400, 404),
))  # fmt: skip
async def browse(request: web.Request) -> web.Response:
    """Lists the directories, films and pictures of a directory; without a path, of the place to begin at."""
    settings = request.app[SETTINGS]
    _require_served(settings)
    path = parse_query(request.query, MediaQuery).path
    async with request.app[BROWSERS]:
        listed = await on_disk(request.app, _directory, path, settings)
    return json_response(listed)


def _is_read(state: JobState) -> bool:
    """Whether a worker has decoded the source; before, it may be any file."""
    return state.summary is not None or state.sampled > 0


def _require_served(settings: Settings) -> None:
    if not settings.serve_media:
        raise web.HTTPNotFound(text="This service does not serve media (FACES_SERVE_MEDIA).")


def _film(path: str, settings: Settings) -> tuple[OpenedFile, str]:
    try:
        file = open_allowed(path, settings.roots)
    except FileRefused as error:
        raise web.HTTPNotFound(text=_safe(error, path)) from error
    type_ = None if file.is_directory else media_type(file.read(SIGNATURE_BYTES))
    if type_ is None:
        raise web.HTTPNotFound(text="The source of this job is no single film or picture.")
    return file, type_


def _safe(error: FileRefused, path: str) -> str:
    return "The source of this job is an address." if "://" in path else str(error)


def _directory(path: str, settings: Settings) -> MediaDirectory:
    roots = [root for root in settings.roots if root != settings.upload_path and root.is_dir()]
    if not path:
        home = Path.home()
        if len(roots) != 1:
            entries = [_entry(to_text(root), root, root.stat()) for root in roots]
            return MediaDirectory(path="", parent=None, entries=entries, truncated=False)
        path = to_text(home if roots[0] == Path("/") and home.is_dir() else roots[0])
    try:
        opened = open_allowed(path, roots)
        if not opened.is_directory:
            raise web.HTTPNotFound(text=f"{path} is a file, not a directory.")
        entries, truncated = _entries(opened)
    except FileRefused as error:
        raise web.HTTPNotFound(text=str(error)) from error
    except OSError as error:
        raise web.HTTPNotFound(text=f"{path} cannot be read: {(error.strerror or '').lower()}.") from error
    above = to_text(opened.path.parent)
    parent = above if opened.path not in roots else "" if len(roots) > 1 else None
    return MediaDirectory(path=str(opened), parent=parent, entries=entries, truncated=truncated)


def _entries(directory: OpenedFile) -> tuple[list[MediaEntry], bool]:
    """The entries of an open directory, whatever its name leads to meanwhile."""
    found, scanned = list[MediaEntry](), 0
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as scan:
            for scanned, entry in enumerate(scan, 1):
                if scanned > MAX_SCANNED:
                    break
                found.extend(_shown(directory.path, entry))
    finally:
        os.close(descriptor)
    found.sort(key=lambda one: (one.kind != "directory", one.name.casefold(), one.name))
    return found[:MAX_ENTRIES], len(found) > MAX_ENTRIES or scanned > MAX_SCANNED


def _shown(directory: Path, entry: "os.DirEntry[str]") -> Iterator[MediaEntry]:
    """The entry, unless it is hidden, of another kind, or a link: where that leads is checked when it is opened."""
    path = directory / entry.name
    if not_the_owners(entry.name) is not None or path in KERNEL_FILES:
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ESTALE):  # deleted meanwhile, or of another user
            return
        raise
    if stat.S_ISDIR(status.st_mode) or (
        stat.S_ISREG(status.st_mode) and path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
    ):
        yield _entry(entry.name, path, status)


def _entry(name: str, path: Path, status: os.stat_result) -> MediaEntry:
    is_directory = stat.S_ISDIR(status.st_mode)
    film = path.suffix.lower() in VIDEO_SUFFIXES
    return MediaEntry(
        name=name.encode(errors="surrogateescape").decode(errors="replace"),
        path=to_text(path),
        kind="directory" if is_directory else "film" if film else "picture",
        size=None if is_directory else status.st_size,
        modified=status.st_mtime,
    )
