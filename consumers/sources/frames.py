"""Frame sources: yield the encoded frames of a job in chunks, whatever their origin."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import msgspec

from consumers.sources import stills
from consumers.sources.films import film_of
from consumers.threads import in_thread
from facecore.video import SampledFrame, VideoInfo
from facecore.video.images import encode
from schemas.messages import FileFrame
from schemas.metadata import Film
from schemas.orientation import Display
from schemas.settings import Settings

FRAMES_PER_CHUNK, CHUNK_SECONDS = 4, 0.05
"""Most frames of a chunk, and seconds after which a chunk is complete with fewer. A chunk is stored and published in
one round trip; when decoding is slow, the models start with the first frame while the next is decoded."""


class Frame(msgspec.Struct, frozen=True):
    """One sampled frame.

    Attributes:
        index: index of the sample in the job.
        timestamp: seconds from the start of the source.
        picture: the encoded picture, or the file that holds it.
        display: see `FrameTask`.
    """

    index: int
    timestamp: float
    picture: bytes | FileFrame
    display: Display | None = None


class FrameSource(Protocol):
    """Frames of a source, in order of time.

    Attributes:
        method: sampling method, as the metadata of the result names it.
        expected: approximate number of frames; 0 when unknown.
        film: properties of the source, for the result.
    """

    method: str
    expected: int
    film: Film

    @property
    def warnings(self) -> list[str]:
        """Problems of the source, for the result."""
        ...

    async def next_chunk(self) -> list[Frame]:
        """Returns the next frames; empty at the end."""
        ...


class LocalFrames(Protocol):
    """Frames of `facecore.video`: decoded from a file, or cut from sprites."""

    expected: int
    info: VideoInfo

    @property
    def method(self) -> str:
        """Sampling method, as the metadata of the result names it."""
        ...

    @property
    def warnings(self) -> list[str]:
        """Problems of the source, for the result."""
        ...

    def __iter__(self) -> Iterator[SampledFrame]: ...


class LocalSource:
    """Frames that a thread of this process decodes or cuts, and encodes.

    Args:
        source: frames from `stills.group_start` on.
        first: index of the first frame that is needed.
    """

    def __init__(self, source: LocalFrames, first: int, pool: ThreadPoolExecutor, settings: Settings) -> None:
        self.method = source.method
        self.expected = source.expected
        self.film = film_of(source.info)
        self.source = source
        quality, format_ = settings.frame_quality, settings.frame_format
        self._frames = stills.encoded(source, first, lambda image: encode(image, quality, format_))
        self._pool = pool

    @property
    def warnings(self) -> list[str]:
        """Problems that the decoder found so far."""
        return self.source.warnings

    async def next_chunk(self) -> list[Frame]:
        """Decodes the next frames; empty at the end."""
        return await in_thread(self._pool, self._encoded)

    def _encoded(self) -> list[Frame]:
        frames, until = [], time.monotonic() + CHUNK_SECONDS
        for frame, picture in islice(self._frames, FRAMES_PER_CHUNK):
            frames.append(Frame(frame.index, frame.timestamp, picture))
            if time.monotonic() > until:
                break
        return frames
