"""Looks up the libraries and people that a request names, and answers with entity tags."""

import hashlib

import msgspec
from aiohttp import web
from yarl import URL

from api.app_keys import LIBRARY_READER
from api.compression import packed
from schemas.library import PERSON_ID
from schemas.library_view import LibraryPerson
from schemas.names import LIBRARY


async def find_library(request: web.Request) -> tuple[str, str]:
    """The name of the library in the path, and its version; 404 when there is none."""
    name = request.match_info["name"]
    version = await request.app[LIBRARY_READER].version(name) if LIBRARY.fullmatch(name) else None
    if version is None:
        raise web.HTTPNotFound(text=f"There is no library {name!r}.")
    return name, version


async def find_person(request: web.Request, name: str) -> LibraryPerson:
    """The person in the path; 404 when there is none, 307 to the person that it was merged into."""
    person_id, reader = request.match_info["person_id"], request.app[LIBRARY_READER]
    found = await reader.resolve(name, person_id) if PERSON_ID.fullmatch(person_id) else None
    if found is not None and found != person_id:
        rest = request.path.rpartition(person_id)[
            2
        ]  # relative: a proxy may serve the API below a path of its own
        raise web.HTTPTemporaryRedirect(URL("../" * rest.count("/") + found + rest).with_query(request.query))
    person = None if found is None else await reader.person(name, found)
    if person is None:
        raise web.HTTPNotFound(text=f"Library {name!r} has no person {person_id!r}.")
    return person


def unchanged(request: web.Request, version: str) -> web.Response | None:
    """304 when the caller has this version of the answer; else None."""
    headers = tag_headers(request, version)
    if {etag.value for etag in request.if_none_match or ()} & {_digest(request, version), "*"}:
        return web.Response(status=304, headers=headers)
    return None


async def tagged(request: web.Request, version: str, body: msgspec.Struct) -> web.Response:
    """An answer as JSON, which stays the same as long as the version of the library does; compressed if large."""
    text, headers = await packed(request, msgspec.json.encode(body))
    headers |= tag_headers(request, version)
    return web.Response(body=text, content_type="application/json", headers=headers)


def tag_headers(request: web.Request, version: str) -> dict[str, str]:
    """Headers of an answer that is checked before each use, and stays the same as long as the version does."""
    return {"ETag": f'W/"{_digest(request, version)}"', "Cache-Control": "private, no-cache"}


def _digest(request: web.Request, version: str) -> str:
    return hashlib.sha256(f"{version} {request.path_qs}".encode()).hexdigest()[:32]
