"""Endpoint that makes the demo film, for pages on which nothing is to be seen yet."""

import asyncio
import sys

import msgspec
import structlog
from aiohttp import web

from api.app_keys import SETTINGS
from api.endpoints import Endpoint, Endpoints
from api.responses import json_response, problem
from schemas.file_names import to_text

endpoints = Endpoints()
log = structlog.get_logger(__name__)

MAKER = "compose.demo"
"""Program that makes the film; a process of its own, since it decodes and encodes pictures."""
MAKING_SECONDS = 120.0
MAKING = web.AppKey("making", asyncio.Lock)


class DemoFilm(msgspec.Struct, frozen=True, kw_only=True):
    """The demo film; `path`: as `video_path` of a request takes it."""

    path: str


@endpoints.add(Endpoint(
    "POST", "/faces/demo", "submit", "Make the demo film, a few seconds with six people",
    responses={200: DemoFilm}, problems=(404, 503, 504),
))  # fmt: skip
async def make(request: web.Request) -> web.Response:
    """Makes the demo film beside the uploads, unless it exists."""
    directory = request.app[SETTINGS].upload_path
    if directory is None:
        return problem(
            404, "This service makes no demo film: it has no directory for it (FACES_UPLOAD_DIRECTORY)."
        )
    film = directory / "demo" / "six-people.mp4"
    async with request.app[MAKING]:
        if not await asyncio.to_thread(film.exists):
            made = film.with_name("making.mp4")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MAKER, made, stderr=asyncio.subprocess.PIPE
            )
            try:
                async with asyncio.timeout(MAKING_SECONDS):
                    _, errors = await process.communicate()
            except TimeoutError:
                return problem(504, f"The demo film was not ready within {MAKING_SECONDS:g} s.")
            finally:
                if process.returncode is None:
                    process.kill()
            if process.returncode:
                reason = errors.decode(errors="replace").strip().splitlines()[-1:]
                log.warning("demo film not made", reason=reason)
                return problem(
                    503, f"The demo film cannot be made: {' '.join(reason) or 'the program failed'}."
                )
            await asyncio.to_thread(made.rename, film)
    return json_response(DemoFilm(path=to_text(film)))
