"""Source opener: opens the frames of a job, from a file, the Frame Server, a sprite map, an album or the web."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from os import PathLike
from pathlib import Path
from typing import TypeVar

import aiohttp
import structlog

from consumers.runtime.stage import Retry
from consumers.sources.album import AlbumSource, listed_pictures, pictures_in
from consumers.sources.content import content_of
from consumers.sources.downloads import Downloads
from consumers.sources.frame_server import FrameServer, FrameServerUnavailable
from consumers.sources.frames import FrameSource, LocalSource
from consumers.sources.http import WebClient, WebSourceUnavailable, is_address
from consumers.sources.memory_budget import MemoryBudget
from consumers.sources.safety import MediaFileMissing, open_source_file
from consumers.sources.segmentation import Segmentation, divide, plan_of
from consumers.sources.served_frames import (
    FAILURES,
    Fallback,
    ServedSource,
)
from consumers.sources.serving import ServedOpener
from consumers.sources.source import Source
from consumers.sources.sprite_maps import SpriteMaps
from consumers.sources.stills import group_start
from consumers.threads import in_thread
from facecore.stopping import stoppable
from facecore.video import Interval, Plan, Samples, SourceError, open_source, probe
from facecore.video.byte_range import ByteRange
from facecore.video.keyframes import nearest_keyframes
from facecore.video.properties import picture_bytes
from facecore.video.sampling import VideoInfo, adapted
from schemas.addresses import AllowList
from schemas.requests import AnalyzeRequest, SamplingMode
from schemas.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

HASHED_BYTES = 1 << 20
"""Bytes of a download that are hashed at a time."""
T = TypeVar("T")


class SourceOpener:
    """Opens the sources of all jobs of a worker.

    Args:
        pool: threads for decoding; a source uses one at a time.
        memory: for large pictures, which sources hold while they are open.
    """

    def __init__(self, settings: Settings, pool: ThreadPoolExecutor, memory: MemoryBudget) -> None:
        self._settings = settings
        self._pool = pool
        self._memory = memory
        self._downloads = Downloads()
        self._closing = AsyncExitStack()
        self._server: FrameServer | None = None

    async def start(self) -> None:
        """Opens the sessions of the web client and of the Frame Server; removes downloads of killed workers.

        Raises:
            SettingsError: the list of allowed hosts is invalid.
        """
        try:
            allowed = AllowList.parse(self._settings.hosts)
        except ValueError as error:
            raise SettingsError(f"FACES_ALLOWED_HOSTS: {error}") from error
        await self._run(self._downloads.sweep)
        sweeping = asyncio.create_task(self._downloads.sweep_periodically())
        self._closing.callback(sweeping.cancel)
        self._closing.callback(self._downloads.close)
        self._web = WebClient(allowed)
        self._closing.push_async_callback(self._web.close)
        self._sprite_maps = SpriteMaps(self._settings, self._web, self._pool)
        if self._settings.frame_server_url:
            session = await self._closing.enter_async_context(aiohttp.ClientSession())
            self._server = FrameServer(self._settings.frame_server_url, session)
        self._served = ServedOpener(self._server, self._settings, self._pool)

    async def stop(self) -> None:
        """Closes the sessions and removes the downloads."""
        await self._closing.aclose()

    async def locate(self, request: AnalyzeRequest, resources: AsyncExitStack) -> Source:
        """Finds the source of a request; downloads it when it is an address.

        Args:
            resources: deletes the download when it is closed.

        Raises:
            SourceError: the source cannot be used.
            Retry: the source cannot be reached now.
        """
        parameters = request.parameters
        if parameters.use_sprites and parameters.sprite_vtt_url:
            vtt = await self._sprite_maps.read(parameters.sprite_vtt_url)
            pictures = await self._sprite_maps.pictures_hash(parameters, vtt)
            return Source(parameters.sprite_vtt_url, _hash(vtt), None, pictures)
        if is_address(request.video_path):
            path = await self._downloaded(request.video_path, resources)
            return Source(request.video_path, await self._run(_hash_file, path), path)
        try:
            return await self._run(on_this_host, request, self._settings.roots)
        except MediaFileMissing:
            if request.images is not None or self._server is None or self._settings.frame_source == "local":
                raise
            return Source(request.video_path, "", None)

    async def is_served(self, request: AnalyzeRequest, source: Source) -> bool:
        """Returns whether the Frame Server would extract the frames of a source now.

        Raises:
            SourceError: it has to, and none is configured; or the file is empty.
        """
        if self._server is None or request.parameters.use_sprites or source.album is not None:
            return False
        return await self._served.is_asked(source, plan_of(request.parameters), None)

    async def frames(
        self,
        job_id: str,
        request: AnalyzeRequest,
        source: Source,
        first: int,
        method: str | None,
        resources: AsyncExitStack,
    ) -> FrameSource:
        """Opens the frames of a source from index ``first`` on; raises as `locate` does.

        Args:
            method: method of an earlier attempt, which this one has to repeat, since the frames of methods differ.
            resources: closes the frames.
        """
        if request.parameters.use_sprites:
            sprites = await self._sprite_maps.open(request.parameters, group_start(first))
            await resources.enter_async_context(self._memory.reserve(sprites.decoding_bytes))
            resources.callback(sprites.close)
            return LocalSource(sprites, first, self._pool, self._settings)
        if source.album is not None:
            return AlbumSource(source.album, first, self._pool, self._settings.roots)
        plan = plan_of(request.parameters)
        if request.parameters.sampling == "adaptive" and source.path is not None:
            plan = adapted(plan, (await self._probe(source.path)).duration)
        if await self._served.is_asked(source, plan, method):
            fallback = self._fallback(source, plan, resources)
            try:
                return await self._served.open(job_id, request, source, plan, first, method, fallback)
            except FAILURES as error:
                if fallback is None:
                    raise _job_error(error, source) from error
                if method is not None:  # frames before `first` came from the Frame Server
                    film = await self._served.film(source)
                    return ServedSource([], first, fallback, film=film, failure=error)
                log.warning("frame server failed, decoding locally", error=str(error))
        if source.path is None:
            raise Retry(
                f"There is no file at {source.name} on this host, and the Frame Server (FRAME_SERVER_URL)"
                " is not healthy."
            )
        return await self._local(source.path, plan, request.parameters.sampling, first, resources)

    def _fallback(self, source: Source, plan: Plan, resources: AsyncExitStack) -> Fallback | None:
        """Returns the call that decodes an interval's frames here; None where the Frame Server is the only source."""
        if source.path is None or self._settings.frame_source == "frame-server":
            return None
        path = source.path
        return lambda first: self._local(path, plan, "interval", first, resources)

    async def _local(
        self,
        path: ByteRange | Path,
        plan: Plan,
        sampling: SamplingMode,
        first: int,
        resources: AsyncExitStack,
    ) -> LocalSource:
        """Opens a film that this process decodes."""
        size = await self._run(picture_bytes, path, self._settings.max_pixels)
        await resources.enter_async_context(self._memory.reserve(size))
        opened = await self._run(self._opened, path, plan, sampling, group_start(first))
        resources.push_async_callback(self._run, opened.close)
        return LocalSource(opened, first, self._pool, self._settings)

    async def segmentation(
        self, request: AnalyzeRequest, source: Source, frames: FrameSource, window: int
    ) -> Segmentation | None:
        """Divides a film into parts; None when it is sampled as a whole: it is short, only this host has it, or its
        keyframes are too far apart.

        Args:
            frames: from `frames`.
        """
        whole = frames.source if isinstance(frames, LocalSource) else None
        if not isinstance(whole, Samples) or source.path is None or is_address(source.name):
            return None
        if isinstance(whole.plan, Interval) and whole.plan != plan_of(request.parameters):
            return None  # adapted, since the film is short
        length, pixels = self._settings.segment_seconds, self._settings.max_pixels
        return await self._run(
            lambda path: divide(path, whole, window, length=length, max_pixels=pixels), source.path
        )

    def _opened(self, path: PathLike[str], plan: Plan, sampling: SamplingMode, first: int) -> Samples:
        pixels = self._settings.max_pixels
        info = None
        if sampling == "keyframes":
            info = probe(path, max_pixels=pixels)
            plan = nearest_keyframes(
                path, plan, info, max_pixels=pixels, max_samples=self._settings.max_frames
            )
        return open_source(path, plan, start_index=first, info=info, max_pixels=pixels)

    async def _probe(self, path: ByteRange | Path) -> VideoInfo:
        return await self._run(lambda: probe(path, max_pixels=self._settings.max_pixels))

    async def _downloaded(self, address: str, resources: AsyncExitStack) -> Path:
        limit = self._settings.max_download_bytes
        try:
            directory = await self._run(self._downloads.directory)
            resources.push_async_callback(self._run, directory.cleanup)
            target = Path(directory.name) / "source"
            await self._web.download(address, target, max_bytes=limit, seconds=self._settings.job_deadline)
        except WebSourceUnavailable as error:
            raise Retry(str(error)) from error
        return target

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await in_thread(self._pool, call, *args)


def on_this_host(request: AnalyzeRequest, roots: Sequence[Path]) -> Source:
    """Finds the source of a request that names a file, a folder or pictures of this host.

    Raises:
        SourceError: the source cannot be used (`MediaFileMissing`: it does not exist).
    """
    if request.images is not None:
        album = listed_pictures(request.images, roots)
        return Source(request.video_path, album.version, None, album.content, album)
    opened = open_source_file(request.video_path, roots)
    if opened.is_directory:
        album = pictures_in(opened, roots)
        return Source(str(opened), album.version, None, album.content, album)
    try:
        content = content_of(opened)
    except OSError as error:
        raise SourceError(f"{opened} cannot be read: {error.strerror}.") from error
    film = ByteRange(opened, 0, content.size)
    status = opened.status
    return Source(str(opened), status.st_mtime, film, str(content), changed=status.st_ctime_ns)


def _job_error(error: Exception, source: Source) -> Exception:
    """Turns an error of the Frame Server into a retry, or into the error that ends the job."""
    missing = "" if source.path else f"There is no file at {source.name} on this host. "
    text = f"{missing}{error}"
    return Retry(text) if isinstance(error, FrameServerUnavailable) else SourceError(text)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in stoppable(iter(lambda: file.read(HASHED_BYTES), b"")):
            digest.update(piece)
    return digest.hexdigest()
