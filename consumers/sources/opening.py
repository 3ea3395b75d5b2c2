"""How the frames of a job are got: decoded here, asked of the Frame Server, cut from sprites, downloaded first."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urljoin

import aiohttp
import structlog

from consumers.runtime.stage import Retry
from consumers.sources.album import AlbumSource, pictures_in, resolve_all, version_of
from consumers.sources.extraction import SamplingMismatch, ServedFrames, check_end, extract_frames
from consumers.sources.frame_server import FrameServer, FrameServerRefused, FrameServerUnavailable
from consumers.sources.frames import FrameServerSource, FrameSource, LocalSource
from consumers.sources.http import WebClient, WebSourceUnavailable
from consumers.sources.safety import MediaFileMissing, resolve
from consumers.sources.segmentation import SAME_TIME, Segmentation, changed, check_unchanged, divide, plan_of
from facecore.video import Plan, Samples, SourceError, open_source, probe
from facecore.video.keyframes import nearest_keyframes
from facecore.video.sprites import MAX_VTT_BYTES, Sprites, parse_sprite_map
from schemas.addresses import AllowList
from schemas.requests import AnalyzeRequest, Parameters
from schemas.settings import Settings, SettingsError

log = structlog.get_logger(__name__)
T = TypeVar("T")

MAX_GRID_BYTES = 64 << 20
SMALL_FILE_SECONDS = 60.0


class Source(NamedTuple):
    """What a source is, for the cache.

    Attributes:
        name: path or address.
        version: changes with the content: modification time, or a hash; empty when nothing here tells it.
        path: the file, when it is one on this host; none of one that only the Frame Server sees.
        pictures: of an album.
    """

    name: str
    version: float | str
    path: Path | None
    pictures: list[Path] | None = None

    def is_version(self, noted: str) -> bool:
        """Whether this is what an earlier attempt, perhaps on another host, has noted the version of."""
        if isinstance(self.version, float):
            return abs(float(noted) - self.version) <= SAME_TIME
        return noted == self.version

    def check_unchanged(self) -> None:
        """Raises SourceError when the files are others by now."""
        if self.pictures is not None and version_of(self.pictures) != self.version:
            raise changed(self.name)
        if self.path is not None and isinstance(self.version, float):
            check_unchanged(self.path, self.name, self.version)


class SourceOpener:
    """Gets frames; one for all jobs of a worker.

    Args:
        pool: threads for decoding; a source uses one at a time.
    """

    def __init__(self, settings: Settings, pool: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._pool = pool
        self._closing = AsyncExitStack()
        self._server: FrameServer | None = None

    async def start(self) -> None:
        try:
            allowed = AllowList.parse(self._settings.hosts)
        except ValueError as error:
            raise SettingsError(f"FACES_ALLOWED_HOSTS: {error}") from error
        self._web = WebClient(allowed)
        self._closing.push_async_callback(self._web.close)
        if self._settings.frame_server_url:
            session = await self._closing.enter_async_context(aiohttp.ClientSession())
            self._server = FrameServer(self._settings.frame_server_url, session)

    async def stop(self) -> None:
        await self._closing.aclose()

    async def locate(self, request: AnalyzeRequest, held: AsyncExitStack) -> Source:
        """Finds the source, and downloads it when it is an address; ``held`` gives the download back.

        Raises:
            SourceError: the source cannot be used.
            Retry: it cannot be reached now.
        """
        parameters = request.parameters
        if parameters.use_sprites and parameters.sprite_vtt_url:
            vtt = await self._small(parameters.sprite_vtt_url, MAX_VTT_BYTES)
            return Source(parameters.sprite_vtt_url, _hash(vtt), None)
        if _is_address(request.video_path):
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="faces-")))
            path = await self._downloaded(request.video_path, folder / "source")
            return Source(request.video_path, await self._run(_hash_file, path), path)
        if request.images is not None:
            pictures = await self._run(resolve_all, request.images, self._settings.roots)
            return Source(request.video_path, await self._run(version_of, pictures), None, pictures)
        try:
            path = await self._run(resolve, request.video_path, self._settings.roots)
        except MediaFileMissing:
            if self._server is None or self._settings.frame_source == "local":
                raise
            return Source(request.video_path, "", None)
        if path.is_dir():
            pictures = await self._run(pictures_in, path, self._settings.roots)
            return Source(str(path), await self._run(version_of, pictures), None, pictures)
        return Source(str(path), path.stat().st_mtime, path)

    async def frames(
        self,
        job_id: str,
        request: AnalyzeRequest,
        source: Source,
        first: int,
        method: str | None,
        held: AsyncExitStack,
    ) -> FrameSource:
        """The frames of a source from number ``first`` on; raises as `locate` does.

        Args:
            method: how an earlier attempt got them: this one must do the same, since frames differ.
            held: closes what the frames need.
        """
        if request.parameters.use_sprites:
            sprites = await self._sprites(request.parameters, first)
            held.callback(sprites.close)
            return LocalSource(sprites, self._pool, self._settings)
        if source.pictures is not None:
            return AlbumSource(source.pictures, first, self._pool)
        plan = plan_of(request.parameters)
        if await self._asks_server(source, method):
            assert self._server is not None
            try:
                limit = self._settings.job_deadline
                served = await extract_frames(self._server, job_id, request.video_path, plan, deadline=limit)
                await self._check_length(served, plan, source)
                return FrameServerSource(self._server, served, first, self._settings.shared_roots)
            except (SamplingMismatch, FrameServerRefused, FrameServerUnavailable) as error:
                if source.path is None or method is not None or self._settings.frame_source == "frame-server":
                    raise _told(error, source) from error
                log.warning("decoding here instead", error=str(error))
        if source.path is None:
            raise Retry(f"There is no file at {source.name} on this host, and the Frame Server is not well.")
        opened = await self._run(self._opened, source.path, plan, request.parameters, first)
        held.push_async_callback(self._run, opened.close)
        return LocalSource(opened, self._pool, self._settings)

    async def segmentation(self, source: Source, frames: FrameSource, window: int) -> Segmentation | None:
        """The parts in which a film is to be sampled; None: in one, since it is short, only this host has it, or
        its keyframes are too far apart.

        Args:
            frames: as `frames` has opened them.
        """
        whole = frames.source if isinstance(frames, LocalSource) else None
        if not isinstance(whole, Samples) or source.path is None or _is_address(source.name):
            return None
        length, pixels = self._settings.segment_seconds, self._settings.max_pixels
        return await self._run(
            lambda path: divide(path, whole, window, length=length, max_pixels=pixels), source.path
        )

    def _opened(self, path: Path, plan: Plan, parameters: Parameters, first: int) -> Samples:
        pixels = self._settings.max_pixels
        if parameters.sampling == "keyframes":
            plan = nearest_keyframes(path, plan, max_pixels=pixels, max_samples=self._settings.max_frames)
        return open_source(path, plan, start_index=first, max_pixels=pixels)

    async def _asks_server(self, source: Source, method: str | None) -> bool:
        """FRAME_SOURCE=auto asks a Frame Server that is there and well."""
        if method is not None:
            return method == "frame-server"
        if self._settings.frame_source == "local" or _is_address(source.name):
            return False
        if self._server is None:
            if self._settings.frame_source == "frame-server":
                raise SourceError("FRAME_SOURCE is frame-server, and FRAME_SERVER_URL is not set.")
            return False
        return self._settings.frame_source == "frame-server" or await self._server.healthy()

    async def _check_length(self, served: ServedFrames, plan: Plan, source: Source) -> None:
        """Raises SamplingMismatch when the frames end before the film does; measures the local file where the Frame
        Server reports no duration."""
        if served.duration is None and source.path is not None:
            info = await self._run(
                lambda path: probe(path, max_pixels=self._settings.max_pixels), source.path
            )
            check_end(plan, info.duration, served.last)

    async def _sprites(self, parameters: Parameters, first: int) -> Sprites:
        """The sprite map's tiles. A grid that cannot be had costs its own tiles only."""
        where = parameters.sprite_vtt_url or ""
        sprite_map = parse_sprite_map(await self._small(where, MAX_VTT_BYTES))
        grids: dict[str, bytes] = {}
        for name in sprite_map.grids:
            try:
                grids[name] = await self._small(
                    _grid_place(name, parameters, len(sprite_map.grids)), MAX_GRID_BYTES
                )
            except SourceError as error:
                log.warning("sprite picture missing", grid=name, error=str(error))
        return Sprites(sprite_map, grids, start_index=first, max_pixels=self._settings.max_pixels)

    async def _small(self, place: str, limit: int) -> bytes:
        """A small file at an address or a path."""
        if _is_address(place):
            try:
                return await self._web.read(place, max_bytes=limit, seconds=SMALL_FILE_SECONDS)
            except WebSourceUnavailable as error:
                raise Retry(str(error)) from error
        return await self._run(_read, place, self._settings.roots, limit)

    async def _downloaded(self, address: str, target: Path) -> Path:
        limit = self._settings.max_download_bytes
        try:
            await self._web.download(address, target, max_bytes=limit, seconds=self._settings.job_deadline)
        except WebSourceUnavailable as error:
            raise Retry(str(error)) from error
        return target

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)


def _told(error: Exception, source: Source) -> Exception:
    """As the runtime and the caller are to see it: worth another try, or the end of the job."""
    missing = "" if source.path else f"There is no file at {source.name} on this host. "
    text = f"{missing}{error}"
    return Retry(text) if isinstance(error, FrameServerUnavailable) else SourceError(text)


def _grid_place(name: str, parameters: Parameters, grids: int) -> str:
    """Where a sprite picture lies: beside the map, unless the caller says which one it is."""
    if parameters.sprite_image_url and grids == 1:
        return parameters.sprite_image_url
    sprite_map = parameters.sprite_vtt_url or ""
    if not _is_address(sprite_map):  # a path: # and ? are letters like others
        return name if _is_address(name) else str(Path(sprite_map).parent / name)
    try:
        return urljoin(sprite_map, name)
    except ValueError as error:
        raise SourceError(f"{name!r} is not the name of a picture: {error}.") from error


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _read(place: str, roots: tuple[Path, ...], limit: int) -> bytes:
    path = resolve(place, roots)
    if path.stat().st_size > limit:
        raise SourceError(f"{place} is larger than {limit >> 20} MiB.")
    return path.read_bytes()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
