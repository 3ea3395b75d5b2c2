"""Reading the result of a job: as JSON, as a page, and its pictures."""

import asyncio
import gzip
import hashlib

from aiohttp import web

from api.errors import QueryError, problem
from api.jobs import find_job
from api.keys import READER
from api.pages import completed_job, page_headers
from schemas import report
from schemas.job_states import JobState, StoredResult, result_json
from schemas.selection import EMBEDDINGS, FIELDS, Embeddings, select

routes = web.RouteTableDef()

SMALL = 1024
"""Bytes below which a body is not compressed."""


@routes.get("/faces/jobs/{job_id}/results")
async def results(request: web.Request) -> web.Response:
    """All of the result, or what `fields` and `embeddings` pick of it."""
    fields, embeddings = _fields(request), _embeddings(request)
    state, stored = await _completed(request)
    if not fields and embeddings == "json":
        return await _answer(request, state, stored.etag, result_json(state, stored.body), stored.type)
    variant = hashlib.sha256(f"{sorted(fields)} {embeddings}".encode()).hexdigest()[:16]
    tag = f"{stored.etag}-{variant}"
    if (unchanged := _unchanged(request, state, tag)) is not None:
        return unchanged
    body = await asyncio.to_thread(select, stored.body, fields, embeddings)
    return await _answer(request, state, tag, result_json(state, body), stored.type)


@routes.get("/faces/jobs/{job_id}/report")
async def page(request: web.Request) -> web.Response:
    """The result as a page for people; it makes no further request, so that it can be saved and sent on."""
    state, stored = await _completed(request)
    tag = f"{stored.etag}-{report.PAGE.version}"
    if (unchanged := _unchanged(request, state, tag)) is not None:
        return unchanged
    body = await asyncio.to_thread(report.render, [await completed_job(request, state, stored)])
    answer = await _answer(request, state, tag, body, "text/html")
    answer.charset = "utf-8"
    answer.headers.update(page_headers(report.PAGE))
    return answer


@routes.get("/faces/jobs/{job_id}/faces/{face_id}/thumbnail")
async def thumbnail(request: web.Request) -> web.Response:
    state = await find_job(request)
    picture = await request.app[READER].thumbnail(state, request.match_info["face_id"])
    if picture is None:
        return problem(404, f"Job {state.job_id} has no face {request.match_info['face_id']!r}.")
    return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


async def _completed(request: web.Request) -> tuple[JobState, StoredResult]:
    """The job and its result; 409 where it has none yet, or never will."""
    state = await find_job(request)
    if state.status != "completed":
        why = f": {state.error}" if state.error else "; its results are not there yet"
        raise web.HTTPConflict(text=f"Job {state.job_id} is {state.status}{why}")
    stored = await request.app[READER].result(state)
    if stored is None:
        raise web.HTTPNotFound(text=f"The results of job {state.job_id} have expired.")
    return state, stored


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
    if _accepts_gzip(request) and len(body) >= SMALL:
        body = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, content_type=type_, headers=headers)


def _headers(request: web.Request, state: JobState, tag: str) -> dict[str, str]:
    """A tag names bytes, so the compressed body has one of its own."""
    coding = "-gzip" if _accepts_gzip(request) else ""
    return {
        "ETag": f'"{tag}-{state.job_id}{coding}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "private, no-cache",
    }


def _accepts_gzip(request: web.Request) -> bool:
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0") not in ("q=", "q=0.")
    return False


def _fields(request: web.Request) -> frozenset[str]:
    asked = request.query.get("fields")
    if asked is None:
        return frozenset()
    fields = frozenset(name.strip() for name in asked.split(","))
    if unknown := sorted(fields - set(FIELDS)):
        raise QueryError(
            "fields",
            f"{unknown[0]!r} is no field; expected some of {', '.join(FIELDS)}, with commas between.",
        )
    return fields


def _embeddings(request: web.Request) -> Embeddings:
    asked = request.query.get("embeddings", "json")
    if asked not in EMBEDDINGS:
        raise QueryError("embeddings", f"{asked!r} is no form; expected {', '.join(EMBEDDINGS)}.")
    return asked
