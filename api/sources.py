"""Check of a request's source where the API's host has the media: a missing file is answered 404 at once."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiohttp import web

from schemas.file_names import FILE_URL, to_path
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings

MAX_CHECKED_PATHS = 100
"""Paths of an album that are looked up; the job reports the others."""


async def require_sources(request: AnalyzeRequest, settings: Settings) -> None:
    """Raises HTTPNotFound, with the path, when a file of the request is below a media root and does not exist."""
    if settings.check_sources:
        missing = await asyncio.to_thread(_missing, list(_paths(request)), settings.roots)
        if missing is not None:
            raise web.HTTPNotFound(text=f"There is no file at {missing}.")


def _paths(request: AnalyzeRequest) -> Iterator[str]:
    """Returns the absolute paths that a request names."""
    parameters = request.parameters
    if parameters.use_sprites:
        named = [parameters.sprite_vtt_url or "", parameters.sprite_image_url or ""]
    else:
        named = request.images or [request.video_path]
    return (path for path in named[:MAX_CHECKED_PATHS] if path.startswith(("/", f"{FILE_URL}/")))


def _missing(paths: Sequence[str], roots: Sequence[Path]) -> str | None:
    """Returns the first path that does not exist; paths outside the roots are not looked up, the job refuses them."""
    for path in paths:
        try:
            resolved = Path(to_path(path)).resolve(strict=False)
            if any(resolved.is_relative_to(root) for root in roots) and not resolved.exists():
                return path
        except (
            OSError,
            RuntimeError,
            ValueError,
        ):  # too long a name, a loop of links: the job says what is wrong
            continue
    return None
