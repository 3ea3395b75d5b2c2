"""Endpoints that take uploaded films: the core of tus 1.0, with creation, termination and expiration.

See https://tus.io/protocols/resumable-upload. Uploads need FACES_UPLOAD_DIRECTORY, which workers must see too. A
complete upload is a file like others: its `path` is the `video_path` of a request. It is deleted with its last job.
"""

import asyncio
import binascii
import os
import re
from base64 import b64decode
from contextlib import ExitStack
from email.utils import formatdate

import msgspec
import structlog
from aiohttp import hdrs, web
from redis.exceptions import RedisError

from api.app_keys import READER, SETTINGS
from api.byte_ranges import on_disk
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.limits import SharedSlots, caller_of
from api.queries import QueryError
from api.responses import json_response, problem
from api.upload_store import UPLOAD_ID, Busy, StorageFull, StoredUpload, UploadRefused, UploadStore
from schemas.file_names import to_text
from schemas.store.server_errors import error_text

endpoints = Endpoints()
log = structlog.get_logger(__name__)

TUS_VERSION = "1.0.0"
PART_TYPE = "application/offset+octet-stream"
MAX_SENDERS = 16
"""Uploads whose bytes this process takes at the same time."""
SENDERS = web.AppKey("senders", SharedSlots)
STORE = web.AppKey("uploads", UploadStore)
"""Missing where uploads are off."""
IDLE_TIMEOUT_SECONDS = 30.0
"""Time without a byte after which the connection of an upload is closed; the upload can be resumed."""
SWEEP_SECONDS = 60.0
"""Time between two searches for uploads whose jobs are gone."""
_TUS = parameter("Tus-Resumable", "header", required=True, pattern=f"^{re.escape(TUS_VERSION)}$")
_PATTERNS = {"upload_id": UPLOAD_ID}


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload.

    Attributes:
        offset: bytes that have arrived.
        path: as `video_path` of a request takes it; null: bytes are missing.
    """

    upload_id: str
    name: str
    length: int
    offset: int
    path: str | None


@endpoints.add(Endpoint(
    "OPTIONS", "/faces/uploads", "public", "What this service takes", responses={204: None}, problems=(404,),
    limited=False,
))  # fmt: skip
async def options(request: web.Request) -> web.Response:
    """Says which version and extensions of tus are supported, and how large an upload may be."""
    _store(request)
    return web.Response(
        status=204,
        headers={
            "Tus-Resumable": TUS_VERSION,
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": "creation,termination,expiration",
            "Tus-Max-Size": str(request.app[SETTINGS].max_upload_bytes),
        },
    )


@endpoints.add(Endpoint(
    "POST", "/faces/uploads", "submit", "Begin to upload a film or picture",
    parameters=[
        _TUS, parameter("Upload-Length", "header", required=True, pattern="^[0-9]{1,15}$", description="Bytes"),
        parameter("Upload-Metadata", "header", required=True, description="filename, and its base64"),
    ],
    responses={201: Upload}, problems=(400, 404, 412, 413, 507),
))  # fmt: skip
async def create(request: web.Request) -> web.Response:
    """Begins an upload; Location names it."""
    store = _store(request)
    _check_version(request)
    length, name = _number(request, "Upload-Length"), _file_name(request)
    if length > request.app[SETTINGS].max_upload_bytes:
        limit = request.app[SETTINGS].max_upload_bytes
        return problem(413, f"The file has {length} bytes; {limit} are allowed (FACES_MAX_UPLOAD_BYTES).")
    try:
        upload = await on_disk(request.app, store.create, name, length)
    except StorageFull as error:
        return problem(507, str(error))
    except UploadRefused as error:
        raise QueryError("Upload-Metadata", str(error)) from error
    response = json_response(_public(upload), status=201)
    response.headers.update(_headers(upload) | {hdrs.LOCATION: f"uploads/{upload.upload_id}"})
    return response


@endpoints.add(Endpoint(
    "GET", "/faces/uploads/{upload_id}", "submit", "How much of an upload has arrived, and its path in the end",
    patterns=_PATTERNS, responses={200: Upload}, problems=(404,),
))  # fmt: skip
async def show(request: web.Request) -> web.Response:
    """Shows an upload; HEAD is what clients of tus resume with."""
    upload = await _find(request)
    response = json_response(_public(upload))
    response.headers.update(_headers(upload))
    return response


@endpoints.add(Endpoint(
    "PATCH", "/faces/uploads/{upload_id}", "submit", "Append bytes",
    patterns=_PATTERNS,
    parameters=[_TUS, parameter("Upload-Offset", "header", required=True, pattern="^[0-9]{1,15}$")],
    body=Content({PART_TYPE: None}), responses={204: None}, problems=(400, 404, 408, 409, 412, 413, 415, 423, 507),
    limited=False,
))  # fmt: skip
async def append(request: web.Request) -> web.Response:
    """Appends the body at Upload-Offset; what has arrived stays, also when the connection breaks."""
    store = _store(request)
    _check_version(request)
    if request.content_type != PART_TYPE:
        raise web.HTTPUnsupportedMediaType(text=f"Expected Content-Type: {PART_TYPE}.")
    offset, upload = _number(request, "Upload-Offset"), await _find(request)
    with request.app[SENDERS].hold(caller_of(request)):
        stack = ExitStack()
        try:
            descriptor = await on_disk(
                request.app, stack.enter_context, store.writing(upload.upload_id, offset)
            )
        except Busy:
            return problem(423, "Another request is sending bytes of this upload.")
        except (KeyError, ValueError):
            at = (await _find(request)).offset
            return problem(409, f"Expected Upload-Offset: {at}.", headers={"Retry-After": "0"})
        try:
            await _receive(request, descriptor, offset, upload.length)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            return problem(507, f"The bytes cannot be stored: {(error.strerror or '').lower()}.")
        finally:
            await on_disk(request.app, stack.close)
    return web.Response(status=204, headers=_headers(await _find(request)))


@endpoints.add(Endpoint(
    "DELETE", "/faces/uploads/{upload_id}", "submit", "Stop an upload, or delete one that no job is about",
    patterns=_PATTERNS, responses={204: None}, problems=(404, 409),
))  # fmt: skip
async def terminate(request: web.Request) -> web.Response:
    """Deletes an upload; 409 while a job is about it."""
    upload, store = await _find(request), _store(request)
    if any(await _jobs(request.app, store, upload.upload_id)):
        return problem(409, "A job is about this upload; it is deleted with the job.")
    await on_disk(request.app, store.remove, upload.upload_id)
    return web.Response(status=204, headers={"Tus-Resumable": TUS_VERSION})


async def note_job(app: web.Application, path: str, job_id: str) -> None:
    """Notes that an accepted job is about the file at a path, if that was uploaded here."""
    if (store := app.get(STORE)) is not None:
        await on_disk(app, store.note_job, path, job_id)


async def job_deleted(app: web.Application, path: str) -> None:
    """Deletes the uploaded file at a path if the job that was deleted was its last."""
    if (store := app.get(STORE)) is None:
        return
    upload_id = await on_disk(app, store.upload_of, path)
    if upload_id is not None and not any(await _jobs(app, store, upload_id)):
        await on_disk(app, store.remove, upload_id)


async def sweep(app: web.Application) -> None:
    """Deletes uploads that nobody finished or used, and those whose jobs have expired, again and again."""
    while (store := app.get(STORE)) is not None:
        try:
            for upload_id in await on_disk(app, store.ids):
                jobs = await _jobs(app, store, upload_id)
                if not any(jobs) and (jobs or await on_disk(app, store.is_stale, upload_id)):
                    await on_disk(app, store.remove, upload_id)
        except (OSError, RedisError) as error:
            text = error_text(error) if isinstance(error, RedisError) else str(error)
            log.warning("uploads not looked through", error=text)
        await asyncio.sleep(SWEEP_SECONDS)


async def _jobs(app: web.Application, store: UploadStore, upload_id: str) -> list[bool]:
    """For each job of an upload, whether it exists."""
    job_ids = await on_disk(app, store.jobs, upload_id)
    return [state is not None for state in await app[READER].read_all(job_ids)] if job_ids else []


async def _receive(request: web.Request, descriptor: int, offset: int, length: int) -> None:
    if (announced := offset + (request.content_length or 0)) > length:
        raise _too_many(length, announced)
    while True:
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_SECONDS):
                piece = await request.content.readany()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(
                text=f"No byte arrived for {IDLE_TIMEOUT_SECONDS:g} s; the upload can be resumed."
            ) from error
        if not piece:
            return
        if offset + len(piece) > length:
            raise web.HTTPRequestEntityTooLarge(
                length, offset + len(piece), text="More bytes than announced."
            )
        await on_disk(request.app, _write, descriptor, piece, offset)
        offset += len(piece)


def _too_many(length: int, sent: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        length, sent, text=f"The upload has {length} bytes; {sent} were sent."
    )


def _write(descriptor: int, piece: bytes, offset: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _store(request: web.Request) -> UploadStore:
    store = request.app.get(STORE)
    if store is None:
        raise web.HTTPNotFound(text="This service takes no uploads (FACES_UPLOAD_DIRECTORY).")
    return store


async def _find(request: web.Request) -> StoredUpload:
    upload_id, store = request.match_info["upload_id"], _store(request)
    try:
        if not UPLOAD_ID.fullmatch(upload_id):
            raise KeyError(upload_id)
        return await on_disk(request.app, store.find, upload_id)
    except KeyError as error:
        raise web.HTTPNotFound(text=f"There is no upload {upload_id!r}, or it was removed.") from error


def _check_version(request: web.Request) -> None:
    if request.headers.get("Tus-Resumable") != TUS_VERSION:
        raise web.HTTPPreconditionFailed(text=f"Expected Tus-Resumable: {TUS_VERSION}.")


def _number(request: web.Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise QueryError(
            header, "Expected a number of bytes.", {"type": "string", "pattern": "^[0-9]{1,15}$"}
        )
    return int(value)


def _file_name(request: web.Request) -> str:
    for pair in request.headers.get("Upload-Metadata", "").split(","):
        name, _, value = pair.strip().partition(" ")
        if name == "filename":
            try:
                return b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise QueryError("Upload-Metadata", "Expected base64 of UTF-8 after filename.") from error
    raise QueryError("Upload-Metadata", "Expected filename, and the name of the file as base64.")


def _public(upload: StoredUpload) -> Upload:
    path = None if upload.path is None else to_text(upload.path)
    return Upload(
        upload_id=upload.upload_id, name=upload.name, length=upload.length, offset=upload.offset, path=path
    )


def _headers(upload: StoredUpload) -> dict[str, str]:
    return {
        "Tus-Resumable": TUS_VERSION,
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.length),
        "Upload-Expires": formatdate(upload.expires, usegmt=True),
        hdrs.CACHE_CONTROL: "no-store",
    }
