"""Frames as the frames stage takes them, wherever they come from: a few at a time, encoded."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from consumers.runtime.stage import Retry
from consumers.sources.extraction import ServedFrames, fetch
from consumers.sources.frame_server import FrameServer, FrameServerNotFound, FrameServerUnavailable
from facecore.video import SampledFrame
from facecore.video.images import encode
from schemas.messages import FileFrame
from schemas.settings import Settings

FRAMES_PER_CHUNK, CHUNK_SECONDS = 4, 0.05
"""Frames got, stored and published together: few round trips where frames come fast; where they do not, the models
begin with the first one while the next is decoded."""


class Frame(msgspec.Struct, frozen=True):
    """Number of the sample in the job, seconds, and the encoded picture or where it lies."""

    index: int
    timestamp: float
    picture: bytes | FileFrame


class FrameSource(Protocol):
    """Frames of a source, in order of time.

    Attributes:
        method: as the result's metadata names it.
        expected: how many there will be about; 0 when nobody can tell.
        warnings: what is wrong with the source.
    """

    method: str
    expected: int

    @property
    def warnings(self) -> list[str]: ...

    async def next_chunk(self) -> list[Frame]:
        """The next few; none at the end."""
        ...


class LocalFrames(Protocol):
    """What facecore.video decodes or cuts."""

    expected: int

    @property
    def method(self) -> str: ...

    @property
    def warnings(self) -> list[str]: ...

    def __iter__(self) -> Iterator[SampledFrame]: ...


class LocalSource:
    """Frames decoded or cut here, in a thread."""

    def __init__(self, source: LocalFrames, pool: ThreadPoolExecutor, settings: Settings) -> None:
        self.method = source.method
        self.expected = source.expected
        self.source = source
        self._frames = iter(source)
        self._pool = pool
        self._settings = settings

    @property
    def warnings(self) -> list[str]:
        return self.source.warnings

    async def next_chunk(self) -> list[Frame]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._encoded)

    def _encoded(self) -> list[Frame]:
        quality, form = self._settings.frame_quality, self._settings.frame_format
        frames, until = [], time.monotonic() + CHUNK_SECONDS
        for frame in islice(self._frames, FRAMES_PER_CHUNK):
            frames.append(Frame(frame.index, frame.timestamp, encode(frame.image, quality, form)))
            if time.monotonic() > until:
                break
        return frames


class FrameServerSource:
    """Frames that the Frame Server has extracted: as files where its volume is shared, else over HTTP."""

    method = "frame-server"

    def __init__(
        self, server: FrameServer, served: ServedFrames, first: int, roots: tuple[Path, ...]
    ) -> None:
        self.expected = len(served.frames)
        self.warnings: list[str] = []
        self._server = server
        self._served = served
        self._next = first
        self._roots = roots

    async def next_chunk(self) -> list[Frame]:
        frames = []
        for served in self._served.frames[self._next : self._next + FRAMES_PER_CHUNK]:
            try:
                picture = await fetch(self._server, self._served.job_id, served, self._roots)
            except (FrameServerNotFound, FrameServerUnavailable) as error:
                raise Retry(str(error)) from error  # the next attempt has the frames extracted again
            frames.append(Frame(served.index, served.timestamp, picture))
        self._next += len(frames)
        return frames
