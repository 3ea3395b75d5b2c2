"""Sprite maps: reads a WebVTT map and its pictures, from paths or addresses."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import structlog

from consumers.runtime.stage import Retry
from consumers.sources.http import WebClient, WebSourceUnavailable, is_address
from consumers.sources.safety import open_source_file
from consumers.threads import in_thread
from facecore.video import SourceError
from facecore.video.sprites import MAX_VTT_BYTES, Sprites, parse_sprite_map
from schemas.requests import Parameters
from schemas.settings import Settings

log = structlog.get_logger(__name__)

MAX_GRID_BYTES = 64 << 20
"""Largest picture of a sprite map."""
MAX_GRIDS_BYTES = 64 << 20
"""Largest sum over the pictures of a map, which are held while it is sampled; those of two hours take about 15 MB."""
READ_TIMEOUT_SECONDS = 60.0
"""For the whole download of a map or a picture."""


class SpriteMaps:
    """Reads sprite maps and opens their tiles.

    Args:
        pool: threads that read local files.
    """

    def __init__(self, settings: Settings, web: WebClient, pool: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._web = web
        self._pool = pool

    async def read(self, location: str, limit: int = MAX_VTT_BYTES) -> bytes:
        """Reads a map, or another file of at most ``limit`` bytes.

        Raises:
            SourceError: the file may not be read, does not exist or is too large.
            Retry: the file cannot be reached now.
        """
        if is_address(location):
            try:
                return await self._web.read(location, max_bytes=limit, seconds=READ_TIMEOUT_SECONDS)
            except WebSourceUnavailable as error:
                raise Retry(str(error)) from error
        return await in_thread(self._pool, _read, location, self._settings.roots, limit)

    async def pictures_hash(self, parameters: Parameters, vtt: bytes) -> str:
        """Returns a hash of sizes and modification times of the map's pictures that are local files."""
        names = parse_sprite_map(vtt).grids
        try:
            locations = [_grid_location(name, parameters, len(names)) for name in names]
        except SourceError:
            return ""  # opening the map raises it again
        local = [location for location in locations if not is_address(location)]
        return await in_thread(self._pool, _states_hash, local, self._settings.roots)

    async def open(self, parameters: Parameters, first: int) -> Sprites:
        """Opens the tiles of a request's map, from index ``first`` on; raises as `read` does.

        A picture that cannot be read costs only its own tiles.
        """
        sprite_map = parse_sprite_map(await self.read(parameters.sprite_vtt_url or ""))
        grids: dict[str, bytes] = {}
        left = MAX_GRIDS_BYTES
        for name in sprite_map.grids:
            try:
                location = _grid_location(name, parameters, len(sprite_map.grids))
                grids[name] = await self.read(location, MAX_GRID_BYTES)
            except SourceError as error:
                log.warning("sprite picture missing", grid=name, error=str(error))
                continue
            left -= len(grids[name])
            if left < 0:
                raise SourceError(
                    f"The pictures of the sprite map are larger than {MAX_GRIDS_BYTES >> 20} MiB together."
                )
        return Sprites(sprite_map, grids, start_index=first, max_pixels=self._settings.max_pixels)


def _grid_location(name: str, parameters: Parameters, grids: int) -> str:
    """Returns the location of a picture: relative to the map, unless the request gives the map's only picture."""
    if parameters.sprite_image_url and grids == 1:
        return parameters.sprite_image_url
    sprite_map = parameters.sprite_vtt_url or ""
    if not is_address(sprite_map):  # in a path, # and ? are ordinary characters
        return name if is_address(name) else str(Path(sprite_map).parent / name)
    try:
        return urljoin(sprite_map, name)
    except ValueError as error:
        text = f"The sprite map {sprite_map} names {name!r}, which is not an address: {error}."
        raise SourceError(text) from error


def _states_hash(locations: Sequence[str], roots: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for location in locations:
        try:
            status = open_source_file(location, roots).status
            digest.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
        except SourceError:
            digest.update(b"missing\0")
    return digest.hexdigest()


def _read(location: str, roots: tuple[Path, ...], limit: int) -> bytes:
    opened = open_source_file(location, roots)
    if opened.is_directory:
        raise SourceError(f"{location} is a directory, not a file.")
    content = opened.read(limit + 1)
    if len(content) > limit:
        raise SourceError(f"{location} is larger than {limit >> 20} MiB.")
    return content
