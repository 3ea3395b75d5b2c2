"""Endpoints that serve the result of a job: as JSON, as a report page, and its thumbnails."""

import asyncio
from collections.abc import Mapping

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from api.app_keys import READER
from api.compression import COMPRESSORS, MIN_COMPRESSED_BYTES, Coding, Compressor, compressed, negotiate
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.library_results import tag_with_people, with_people
from api.lookup import find_job, require_completed, result_expired
from api.pages import report
from api.pages.routes import rendered
from api.queries import ResultsQuery, parse_query
from api.responses import problem
from api.selection import Selection
from api.thumbnails import BLANK, PARAMETERS, PICTURE, send_picture
from schemas.store.job_reader import JobState, result_json
from schemas.store.results import ResultChanged, ResultHead, faces_of_part
from schemas.store.server_errors import error_text

endpoints = Endpoints()
log = structlog.get_logger(__name__)

_IF_NONE_MATCH = parameter("If-None-Match", "header")
_RESULT_OR_PART = {
    "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("JobResult", "PartOfResult")]
}
_PICTURE_HEADERS = {"Cache-Control": "private, max-age=3600"}


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/results", "read", "The people",
    query=ResultsQuery, parameters=[_IF_NONE_MATCH],
    responses={200: Content({"application/json": _RESULT_OR_PART}, "JobResult"), 304: None},
    problems=(400, 404, 409),
))  # fmt: skip
async def results(request: web.Request) -> web.StreamResponse:
    """Serves the result, or the fields that the query selects; a large one is streamed part by part."""
    query = parse_query(request.query, ResultsQuery)
    selection = Selection(frozenset(query.fields or ()), query.embeddings, query.thumbnails)
    state = await find_job(request)
    require_completed(state)
    head = await request.app[READER].result_head(state)
    if head is None:
        raise result_expired(state)
    tag = await tag_with_people(request, state, head.etag)
    if not selection.all:
        tag += f"-{selection.name}"
    if (not_modified := _not_modified(request, state, tag)) is not None:
        return not_modified
    if head.parts > 1 and request.method != "HEAD":
        return await _stream(request, state, tag, head, selection)
    body = await with_people(request, state, head.first, 0, head.parts)
    if not selection.all:
        thumbnails = await _thumbnails(request, state, body, 0, head.parts, selection)
        body = await asyncio.to_thread(selection.apply, body, 0, head.parts, thumbnails)
    return await _response(request, state, tag, result_json(state, body), head.type)


async def _stream(
    request: web.Request, state: JobState, tag: str, head: ResultHead, selection: Selection
) -> web.StreamResponse:
    """Streams the parts of a result. The next one is read when the caller has taken the one before."""
    stream = web.StreamResponse(headers=_headers(request, state, tag))
    stream.content_type = head.type
    coding = _coding(request)
    if coding is not None:
        stream.headers["Content-Encoding"] = coding
    compressor = COMPRESSORS[coding]() if coding else None
    await stream.prepare(request)
    number = 0
    try:
        async for stored in request.app[READER].result_parts(state, head):
            part = await with_people(request, state, stored, number, head.parts)
            thumbnails = await _thumbnails(request, state, part, number, head.parts, selection)
            chunk = await asyncio.to_thread(
                _chunk, state, part, number, head.parts, selection, thumbnails, compressor
            )
            await stream.write(chunk)
            number += 1
        await stream.write_eof()
    except (ResultChanged, RedisError) as error:
        log.warning("result stream aborted", job=state.job_id, error=error_text(error))
        if request.transport is not None:
            request.transport.abort()  # without the last chunk the caller notices that the result is incomplete
    return stream


async def _thumbnails(
    request: web.Request, state: JobState, part: bytes, number: int, parts: int, selection: Selection
) -> Mapping[str, bytes]:
    """The JPEG thumbnails of the people in a part, if the selection includes them."""
    if not selection.inline_thumbnails:
        return {}
    faces, _ = await asyncio.to_thread(faces_of_part, part, number, parts)
    return (await request.app[READER].pictures(state, [face["face_id"] for face in faces])).best


def _chunk(
    state: JobState,
    part: bytes,
    number: int,
    parts: int,
    selection: Selection,
    thumbnails: Mapping[str, bytes],
    compressor: Compressor | None,
) -> bytes:
    body = selection.apply(part, number, parts, thumbnails)
    if number == 0:
        body = result_json(state, body)
    if compressor is None:
        return body
    return compressor.compress(body) + (compressor.flush() if number == parts - 1 else b"")


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/report", "read", "The people as one page",
    parameters=[_IF_NONE_MATCH],
    responses={200: Content({"text/html": None}, "A page without further requests"), 304: None},
    problems=(404, 409),
))  # fmt: skip
async def report_page(request: web.Request) -> web.Response:
    """Serves the result as a self-contained page, which can be saved and sent on."""
    state = await find_job(request)
    require_completed(state)
    head = await request.app[READER].result_head(state)
    if head is None:
        raise result_expired(state)
    tag = f"{await tag_with_people(request, state, head.etag)}-{report.PAGE.version}"
    if (not_modified := _not_modified(request, state, tag)) is not None:
        return not_modified
    body = await rendered(request, [state], report.render)
    response = await _response(request, state, tag, body, "text/html")
    response.charset = "utf-8"
    response.headers.update(report.PAGE.headers)
    return response


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/faces/{face_id}/thumbnail", "read", "The best shot of a person",
    parameters=PARAMETERS, responses={200: PICTURE, 204: None}, problems=(400, 404), ticket=True,
))  # fmt: skip
async def thumbnail(request: web.Request) -> web.Response:
    """Serves the best shot of a person."""
    state = await find_job(request)
    picture = await request.app[READER].thumbnail(state, request.match_info["face_id"])
    if picture is None:
        return problem(404, f"Job {state.job_id} has no face {request.match_info['face_id']!r}.")
    return await send_picture(request, picture, _PICTURE_HEADERS)


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/faces/{face_id}/strip", "read", "Up to 12 detections of a person, side by side",
    parameters=[BLANK],
    responses={200: Content({"image/jpeg": None}, "JPEG of tiles of 72 x 72 pixels"), 204: None},
    problems=(404,), ticket=True,
))  # fmt: skip
async def strip(request: web.Request) -> web.Response:
    """Serves the contact sheet of a person; 404 for one with a single detection, and beyond the first 100 people."""
    state, face_id = await find_job(request), request.match_info["face_id"]
    picture = (await request.app[READER].pictures(state, [face_id])).strips.get(face_id)
    if picture is None:
        return problem(404, f"Job {state.job_id} has no contact sheet of a face {face_id!r}.")
    return web.Response(body=picture, content_type="image/jpeg", headers=_PICTURE_HEADERS)


def _not_modified(request: web.Request, state: JobState, tag: str) -> web.Response | None:
    """304 when If-None-Match has the current entity tag (RFC 9110, section 13.1.2); else None."""
    if_none_match = {etag.value for etag in request.if_none_match or ()}
    headers = _headers(request, state, tag)
    if not if_none_match & {headers["ETag"].strip('"'), "*"}:
        return None
    return web.Response(status=304, headers=headers)


async def _response(request: web.Request, state: JobState, tag: str, body: bytes, type_: str) -> web.Response:
    headers = _headers(request, state, tag)
    coding = _coding(request)
    if coding is not None and len(body) >= MIN_COMPRESSED_BYTES:
        body = await asyncio.to_thread(compressed, body, coding)
        headers["Content-Encoding"] = coding
    return web.Response(body=body, content_type=type_, headers=headers)


def _headers(request: web.Request, state: JobState, tag: str) -> dict[str, str]:
    """Headers with the entity tag, which differs between content codings since the bytes do."""
    coding = _coding(request)
    suffix = f"-{coding}" if coding else ""
    return {
        "ETag": f'"{tag}-{state.job_id}{suffix}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "private, no-cache",
    }


def _coding(request: web.Request) -> Coding | None:
    return negotiate(request.headers.get("Accept-Encoding", ""))
