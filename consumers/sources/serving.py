"""Served opener: has the Frame Server extract the frames of a source, and finds out how its pictures lie."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import structlog

from consumers.sources.extraction import SamplingMismatch, check_end, extract_frames
from consumers.sources.films import displayed, displayed_plainly, film_of, is_ambiguous, is_plain
from consumers.sources.frame_server import FrameServer, FrameServerRefused
from consumers.sources.frame_store import MAX_FRAME_BYTES
from consumers.sources.http import is_address
from consumers.sources.safety import open_source_file
from consumers.sources.served_frames import (
    SCENES_METHOD,
    Fallback,
    ServedSource,
    extracted_source,
    open_scenes,
)
from consumers.sources.source import Source
from consumers.threads import in_thread
from facecore.video import Plan, Scenes, SourceError, Timestamps, open_source, probe
from facecore.video.byte_range import ByteRange
from facecore.video.container import picture_kind
from facecore.video.images import decode
from facecore.video.sampling import VideoInfo, adapted
from facecore.video.upright import look
from schemas.messages import FileFrame
from schemas.metadata import Film
from schemas.orientation import Display
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings

log = structlog.get_logger(__name__)


class ServedOpener:
    """Opens the frames that a Frame Server extracts.

    Args:
        server: None: no Frame Server is configured.
        pool: threads for decoding.
    """

    def __init__(self, server: FrameServer | None, settings: Settings, pool: ThreadPoolExecutor) -> None:
        self._server = server
        self._settings = settings
        self._pool = pool

    async def is_asked(self, source: Source, plan: Plan, method: str | None) -> bool:
        """Returns whether the Frame Server extracts the frames of a source: never of pictures that this host has;
        FRAME_SOURCE=auto uses it when it is healthy, and for scenes when this host does not have the file, since it
        has to seek to each of their samples.

        Args:
            method: of an earlier attempt, which this one has to repeat.

        Raises:
            SourceError: FRAME_SOURCE=frame-server, and none is configured; or the file is empty.
        """
        if method is not None:
            return method in ("frame-server", SCENES_METHOD)
        wanted = self._settings.frame_source
        if wanted == "local" or is_address(source.name):
            return False
        if wanted == "auto" and source.path is not None and isinstance(plan, Scenes):
            return False
        if source.path is not None and await in_thread(self._pool, picture_kind, source.path) is not None:
            return False
        if self._server is None:
            if wanted == "frame-server":
                raise SourceError(
                    "No Frame Server is configured: FRAME_SOURCE is frame-server, but FRAME_SERVER_URL is not set."
                )
            return False
        return wanted == "frame-server" or await self._server.healthy()

    async def open(
        self,
        job_id: str,
        request: AnalyzeRequest,
        source: Source,
        plan: Plan,
        first: int,
        method: str | None,
        fallback: Fallback | None,
    ) -> ServedSource:
        """Has the Frame Server extract the frames of a plan.

        Args:
            first: index of the first frame that is needed.
            method: of an earlier attempt, which this one has to repeat.
            fallback: see `ServedSource`.

        Raises:
            FrameServerRefused, FrameServerUnavailable, SamplingMismatch: the frames cannot be had there, or better
                here.
        """
        server, settings, video_path = self._server, self._settings, request.video_path
        assert server is not None
        info = None if source.path is None else await self._info(source.path)
        if info is not None and is_ambiguous(info) and fallback is not None and method is None:
            raise SamplingMismatch("The size of a picture cannot tell whether the Frame Server turned it.")
        opened = None
        if isinstance(plan, Scenes):
            opened = await open_scenes(server, video_path, plan, first, method)
        if opened is None:
            served = await extract_frames(server, job_id, video_path, plan, deadline=settings.job_deadline)
            if request.parameters.sampling == "adaptive" and adapted(plan, served.duration) != plan:
                plan = adapted(plan, served.duration)
                served = await extract_frames(
                    server, job_id, video_path, plan, deadline=settings.job_deadline
                )
            if served.duration is None and info is not None:
                check_end(plan, info.duration, served.last)
            opened = extracted_source(
                server, video_path, served, settings.shared_roots, plan, first, fallback
            )
        if source.path is not None and info is not None:
            await self._describe(opened, source.path, info)
        return opened

    async def _info(self, path: ByteRange | Path) -> VideoInfo | None:
        """Returns the properties of a file; None: this host cannot read it."""
        try:
            return await in_thread(self._pool, lambda: probe(path, max_pixels=self._settings.max_pixels))
        except SourceError as error:
            log.info("properties of the video unknown", error=str(error))
            return None

    async def film(self, source: Source) -> Film:
        """Returns the properties of a source as far as this host can read it."""
        info = None if source.path is None else await self._info(source.path)
        return Film() if info is None else film_of(info)

    async def _describe(self, served: ServedSource, path: ByteRange | Path, info: VideoInfo) -> None:
        """Adds what the file here says: the film's properties, and how the Frame Server's pictures become those of a
        player. For that, its next picture is compared with the file's."""
        served.film = film_of(info)
        if is_plain(info):
            served.display = displayed_plainly(info)
            return
        if (sample := served.following) is None:
            return
        picture = await sample.fetch()
        served.display, served.film = await in_thread(
            self._pool, self._compared, path, info, sample.timestamp, picture
        )

    def _compared(
        self, path: ByteRange | Path, info: VideoInfo, moment: float, picture: FileFrame | bytes
    ) -> tuple[Display, Film]:
        pixels = self._settings.max_pixels
        try:
            if isinstance(picture, FileFrame):
                picture = open_source_file(picture.path, self._settings.shared_roots).read(MAX_FRAME_BYTES)
            image = decode(picture, pixels)
        except SourceError as error:
            raise FrameServerRefused(f"The Frame Server's picture cannot be used: {error}") from error
        try:
            with closing(open_source(path, Timestamps((moment,)), max_pixels=pixels)) as samples:
                frame = look(next(samples).image)
        except (SourceError, StopIteration) as error:
            log.info("no frame to compare with the Frame Server's", error=str(error))
            frame = b""
        return displayed(info, image, frame)
