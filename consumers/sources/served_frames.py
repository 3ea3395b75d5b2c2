"""Frames of the Frame Server as the frame source of a job, with local decoding where it fails in mid-film."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import structlog

from consumers.runtime.stage import Retry
from consumers.sources.extraction import SamplingMismatch, ServedFrame, ServedFrames, fetch
from consumers.sources.frame_server import (
    FrameServer,
    FrameServerNotFound,
    FrameServerRefused,
    FrameServerUnavailable,
)
from consumers.sources.frames import FRAMES_PER_CHUNK, Frame, FrameSource
from facecore.video.sampling import Plan, Scenes, VideoInfo, sample_times
from schemas.messages import FileFrame
from schemas.metadata import Film
from schemas.orientation import Display

log = structlog.get_logger(__name__)

FAILURES = (SamplingMismatch, FrameServerRefused, FrameServerUnavailable)
"""Errors of the Frame Server after which another source may supply the frames."""
SCENES_METHOD = "frame-server-scenes"
"""Method of scenes that the Frame Server samples in its own way, at other moments than requested."""
Fallback = Callable[[int], Awaitable[FrameSource]]
"""Opens the frames from an index on in another way."""


class Sample(msgspec.Struct, frozen=True):
    """One sample: index and moment in seconds of the plan, and the call that fetches its picture."""

    index: int
    timestamp: float
    fetch: Callable[[], Awaitable[FileFrame | bytes]]


class ServedSource:
    """Frames that the Frame Server extracts; after its failure, those of a fallback.

    Args:
        samples: of the whole plan.
        first: index of the first sample that is still needed.
        fallback: opens the frames from an index on, decoded locally; None where that is not possible.
        failure: of the Frame Server, which leaves everything to the fallback.
        film: see `FrameSource`.
        open_end: whether samples may lie beyond the end of the film.
        method: see `FrameSource`.

    Attributes:
        display: how the pictures become those of a player; None: they are, or nothing is known.
    """

    display: Display | None = None

    def __init__(
        self,
        samples: Sequence[Sample],
        first: int,
        fallback: Fallback | None,
        *,
        film: Film = Film(),  # noqa: B008  # immutable
        open_end: bool = False,
        failure: Exception | None = None,
        method: str = "frame-server",
    ) -> None:
        self.method = method
        self.expected = len(samples)
        self.film = film
        self._warnings: list[str] = []
        self._samples = samples
        self._next = first
        self._fallback = fallback
        self._open_end = open_end
        self._failure = failure
        self._rest: FrameSource | None = None

    @property
    def warnings(self) -> list[str]:
        """Failures of the Frame Server, and problems that the decoder found."""
        return [*self._warnings, *(self._rest.warnings if self._rest else ())]

    @property
    def following(self) -> Sample | None:
        """The sample that comes next from the Frame Server; None at the end."""
        return self._samples[self._next] if self._next < len(self._samples) else None

    async def next_chunk(self) -> list[Frame]:
        """Fetches the next frames; empty at the end."""
        if self._rest is not None:
            return await self._rest.next_chunk()
        if self._failure is not None:
            return await self._continue_locally(self._failure)
        frames: list[Frame] = []
        try:
            for sample in self._samples[self._next :][:FRAMES_PER_CHUNK]:
                picture = await sample.fetch()
                frames.append(Frame(sample.index, sample.timestamp, picture, self.display))
        except FAILURES as error:
            if not frames and self._open_end and self._next and type(error) is FrameServerRefused:
                last = self._samples[self._next].timestamp
                self._warnings.append(f"The samples end before {last:.2f} s. {error}")
                self._samples = self._samples[: self._next]
            elif not frames:
                return await self._continue_locally(error)
        self._next += len(frames)
        return frames

    async def _continue_locally(self, error: Exception) -> list[Frame]:
        """Switches to the fallback and returns its first frames.

        Raises:
            Retry: there is no fallback; the next attempt has the frames extracted again.
        """
        if self._fallback is None:
            raise Retry(str(error)) from error
        log.warning("frame server failed, decoding the rest locally", error=str(error), index=self._next)
        self._warnings.append(
            f"The Frame Server failed at frame {self._next}; this service decoded the rest. {error}"
        )
        self._rest = await self._fallback(self._next)
        self.expected = max(self.expected, self._rest.expected)
        return await self._rest.next_chunk()


async def open_scenes(
    server: FrameServer, video_path: str, plan: Scenes, first: int, method: str | None
) -> ServedSource | None:
    """Opens the samples of scenes, which the Frame Server extracts one by one: its mode for scenes samples other
    moments. Scenes beyond the end of the film, whose length is not known, end with their first refused sample.

    Args:
        method: of an earlier attempt, which this one has to repeat.

    Returns:
        None when the Frame Server does not extract single frames.

    Raises:
        FrameServerUnavailable: a retry may succeed.
    """
    if method == SCENES_METHOD:
        return None
    samples = [
        Sample(index, moment, partial(server.frame_at, video_path, moment))
        for index, moment in enumerate(sample_times(plan, VideoInfo()))
    ]
    try:
        await samples[0].fetch()
    except FrameServerRefused as error:
        if method is not None:
            raise
        log.info("frame server does not extract single frames", error=str(error))
        return None
    return ServedSource(samples, first, None, open_end=True)


def extracted_source(
    server: FrameServer,
    video_path: str,
    served: ServedFrames,
    roots: Sequence[Path],
    plan: Plan,
    first: int,
    fallback: Fallback | None,
) -> ServedSource:
    """Opens the frames of a completed job of the Frame Server; scenes with the moments that it chose.

    A cached job may have lost its frames. Where the Frame Server is the only source, they are extracted one by one.
    """

    async def obtained(frame: ServedFrame) -> FileFrame | bytes:
        try:
            return await fetch(server, served.job_id, frame, roots)
        except FrameServerNotFound:
            if fallback is not None:
                raise
        return await server.frame_at(video_path, frame.frame.timestamp)

    samples = [Sample(frame.index, frame.timestamp, partial(obtained, frame)) for frame in served.frames]
    film = Film(duration=served.duration)
    if isinstance(plan, Scenes):
        return ServedSource(samples, first, None, film=film, method=SCENES_METHOD)
    return ServedSource(samples, first, fallback, film=film)
