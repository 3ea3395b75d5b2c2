"""Reading the result of a job: as JSON, as a page, and its pictures."""

import asyncio
from collections.abc import Mapping

import structlog
from aiohttp import web
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.app_keys import READER
from api.compression import PACKERS, Coding, Packer, negotiated
from api.endpoints import Content, Endpoint, Endpoints, parameter
from api.lookup import find_job, require_completed, result_expired, stored_result
from api.pages import report
from api.pages.routes import page_headers, reported_job
from api.queries import ResultsQuery, parse_query
from api.responses import problem
from api.selection import Selection
from schemas.store.job_reader import JobState, result_json
from schemas.store.results import ResultChanged, ResultHead, faces_of_part

endpoints = Endpoints()
log = structlog.get_logger(__name__)

_IF_NONE_MATCH = parameter("If-None-Match", "header")
_RESULT_OR_PART = {
    "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("JobResult", "PartOfResult")]
}
SMALL = 1024
"""Bytes below which a body is not compressed."""


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/results", "read", "The people",
    query=ResultsQuery, parameters=[_IF_NONE_MATCH],
    responses={200: Content({"application/json": _RESULT_OR_PART}, "JobResult"), 304: None},
    problems=(400, 404, 409),
))  # fmt: skip
async def results(request: web.Request) -> web.StreamResponse:
    """All of the result, or what `fields` and `embeddings` pick of it; a large one part by part."""
    query = parse_query(request.query, ResultsQuery)
    wanted = Selection(frozenset(query.fields or ()), query.embeddings, query.thumbnails)
    state = await find_job(request)
    require_completed(state)
    found = await request.app[READER].result_head(state)
    if found is None:
        raise result_expired(state)
    tag = found.etag if wanted.all else f"{found.etag}-{wanted.name}"
    if (unchanged := _unchanged(request, state, tag)) is not None:
        return unchanged
    if found.parts > 1 and request.method != "HEAD":
        return await _stream(request, state, tag, found, wanted)
    pictures = await _pictures(request, state, found.first, 0, found.parts, wanted)
    body = found.first
    if not wanted.all:
        body = await asyncio.to_thread(wanted.apply, found.first, 0, found.parts, pictures)
    return await _answer(request, state, tag, result_json(state, body), found.type)


async def _stream(
    request: web.Request, state: JobState, tag: str, found: ResultHead, wanted: Selection
) -> web.StreamResponse:
    """The parts as they come from the server; the next is asked for when the caller has taken the one before."""
    stream = web.StreamResponse(headers=_headers(request, state, tag))
    stream.content_type = found.type
    coding = _coding(request)
    if coding is not None:
        stream.headers["Content-Encoding"] = coding
    packer = PACKERS[coding]() if coding else None
    await stream.prepare(request)
    number = 0
    try:
        async for part in request.app[READER].result_parts(state, found):
            pictures = await _pictures(request, state, part, number, found.parts, wanted)
            piece = await asyncio.to_thread(
                _piece, state, part, number, found.parts, wanted, pictures, packer
            )
            await stream.write(piece)
            number += 1
        await stream.write_eof()
    except (ResultChanged, RedisConnectionError, RedisTimeoutError) as error:
        log.warning("result cut off", job=state.job_id, error=str(error) or type(error).__name__)
        if request.transport is not None:
            request.transport.abort()  # without its end the caller cannot take it for whole
    return stream


async def _pictures(
    request: web.Request, state: JobState, part: bytes, number: int, parts: int, wanted: Selection
) -> Mapping[str, bytes]:
    """The best shots of the people in a part, where they are wanted."""
    if not wanted.pictures:
        return {}
    faces, _ = await asyncio.to_thread(faces_of_part, part, number, parts)
    return (await request.app[READER].pictures(state, [face["face_id"] for face in faces])).best


def _piece(
    state: JobState,
    part: bytes,
    number: int,
    parts: int,
    wanted: Selection,
    pictures: Mapping[str, bytes],
    packer: Packer | None,
) -> bytes:
    body = wanted.apply(part, number, parts, pictures)
    if number == 0:
        body = result_json(state, body)
    if packer is None:
        return body
    return packer.compress(body) + (packer.flush() if number == parts - 1 else b"")


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/report", "read", "The people as one page",
    parameters=[_IF_NONE_MATCH],
    responses={200: Content({"text/html": None}, "A page without further requests"), 304: None},
    problems=(404, 409),
))  # fmt: skip
async def page(request: web.Request) -> web.Response:
    """The result as a page for people; it makes no further request, so that it can be saved and sent on."""
    state = await find_job(request)
    stored = await stored_result(request, state)
    tag = f"{stored.etag}-{report.PAGE.version}"
    if (unchanged := _unchanged(request, state, tag)) is not None:
        return unchanged
    body = await asyncio.to_thread(report.render, [await reported_job(request, state, stored)])
    answer = await _answer(request, state, tag, body, "text/html")
    answer.charset = "utf-8"
    answer.headers.update(page_headers(report.PAGE))
    return answer


@endpoints.add(Endpoint(
    "GET", "/faces/jobs/{job_id}/faces/{face_id}/thumbnail", "read", "The best shot of a person",
    responses={200: Content({"image/jpeg": None}, "JPEG")}, problems=(404,),
))  # fmt: skip
async def thumbnail(request: web.Request) -> web.Response:
    state = await find_job(request)
    picture = await request.app[READER].thumbnail(state, request.match_info["face_id"])
    if picture is None:
        return problem(404, f"Job {state.job_id} has no face {request.match_info['face_id']!r}.")
    return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


def _unchanged(request: web.Request, state: JobState, tag: str) -> web.Response | None:
    """304 when the caller has this version already."""
    asked = {known.value for known in request.if_none_match or ()}
    headers = _headers(request, state, tag)
    if not asked & {headers["ETag"].strip('"'), "*"}:
        return None
    return web.Response(status=304, headers=headers)


async def _answer(request: web.Request, state: JobState, tag: str, body: bytes, type_: str) -> web.Response:
    if (unchanged := _unchanged(request, state, tag)) is not None:
        return unchanged
    headers = _headers(request, state, tag)
    coding = _coding(request)
    if coding is not None and len(body) >= SMALL:
        body = await asyncio.to_thread(_packed, body, coding)
        headers["Content-Encoding"] = coding
    return web.Response(body=body, content_type=type_, headers=headers)


def _packed(body: bytes, coding: Coding) -> bytes:
    packer = PACKERS[coding]()
    return packer.compress(body) + packer.flush()


def _headers(request: web.Request, state: JobState, tag: str) -> dict[str, str]:
    """A tag names bytes, so every coding of a body has one of its own."""
    coding = _coding(request)
    suffix = f"-{coding}" if coding else ""
    return {
        "ETag": f'"{tag}-{state.job_id}{suffix}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "private, no-cache",
    }


def _coding(request: web.Request) -> Coding | None:
    return negotiated(request.headers.get("Accept-Encoding", ""))
