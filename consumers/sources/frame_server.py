"""Client of the Frame Server: what it can be asked, and what its answers mean.

The exceptions differ by what to do about them: after `FrameServerUnavailable` a retry may succeed, after
`FrameServerRefused` it cannot; `FrameServerNotFound`: the Frame Server no longer has the job or the frame.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from facecore.video.images import HEAD, image_kind

FRAME_TIMEOUT = 45.0
"""Seconds: the Frame Server itself waits 30 for a frame that is not ready."""
ANSWER_TIMEOUT = 30.0
HEALTH_TIMEOUT = 5.0
CONNECT_TIMEOUT = 5.0
MAX_FRAME_BYTES = 64 << 20
MAX_ANSWER_BYTES = 64 << 20  # 100,000 frames take about 20 MB
TRY_LATER = frozenset({408, 425, 429})

Answer = TypeVar("Answer")


class FrameServerUnavailable(Exception):
    """The Frame Server could not answer now: no connection, no answer in time, an error of its own."""


class FrameServerRefused(Exception):
    """The Frame Server's answer will not change: it does not know the video, or what it sent makes no sense."""


class FrameServerNotFound(FrameServerRefused):
    """The Frame Server no longer has the job or the frame, or never had it."""


class ResultsNotReady(Exception):
    """The results are not there yet."""


class ExtractJob(msgspec.Struct, frozen=True):
    """Attributes: job_id: may be another one than was sent: that of a job with the same frames."""

    job_id: str
    status: Literal["queued", "processing", "completed", "failed"]
    error: str | None = None


class ExtractedFrame(msgspec.Struct, frozen=True):
    """Attributes: url: place on the shared volume, as a file address or a path; empty when it tells none."""

    timestamp: float
    url: str = ""
    index: int | None = None
    frame_index: int | None = None

    @property
    def number(self) -> int | None:
        """What the Frame Server calls this frame; it has two names for that."""
        return self.index if self.index is not None else self.frame_index


class _VideoFacts(msgspec.Struct, frozen=True):
    video_duration_seconds: float | None = None
    duration: float | None = None
    video_fps: float | None = None
    fps: float | None = None


class Extraction(msgspec.Struct, frozen=True):
    """The frames of a completed job."""

    frames: list[ExtractedFrame]
    metadata: _VideoFacts | None = None
    video_metadata: _VideoFacts | None = None

    @property
    def duration(self) -> float | None:
        """Seconds that the video lasts, where the Frame Server tells."""
        return self._facts.video_duration_seconds or self._facts.duration

    @property
    def fps(self) -> float | None:
        """Frames a second, where the Frame Server tells."""
        return self._facts.video_fps or self._facts.fps

    @property
    def _facts(self) -> _VideoFacts:
        return self.metadata or self.video_metadata or _VideoFacts()


class _JobAnswer(msgspec.Struct, frozen=True):
    status: Literal["queued", "processing", "completed", "failed"]
    job_id: str | None = None
    error: str | None = None


class FrameServer:
    """Args:
    base_url: where it listens, such as ``http://frame-server:5001``.
    session: carries the requests; whoever opened it closes it.
    """

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._base = base_url.rstrip("/")
        self._session = session
        self._enhancing = asyncio.Semaphore(1)  # the Frame Server enhances one frame at a time

    async def healthy(self) -> bool:
        """Whether it answers, within `HEALTH_TIMEOUT` seconds, that it works."""
        try:
            body = await self._get("/frames/health", {}, HEALTH_TIMEOUT, 1 << 16)
        except (FrameServerUnavailable, FrameServerRefused):
            return False
        try:
            status = msgspec.json.decode(body, type=dict[str, Any]).get("status", "healthy")
        except msgspec.DecodeError:
            return False
        return status in ("healthy", "ok", "degraded")

    async def extract(self, job_id: str, video_path: str, sampling: Mapping[str, Any]) -> ExtractJob:
        """Asks for frames.

        Args:
            sampling: fields of the body that say which frames: ``sampling_strategy`` and what goes with it.
        """
        body = {
            "video_path": video_path,
            "job_id": job_id,
            "output_format": "jpeg",
            "quality": 95,
            **sampling,
        }
        answer = await self._request("POST", "/frames/extract", {}, ANSWER_TIMEOUT, MAX_ANSWER_BYTES, body)
        job = _decoded(answer, _JobAnswer)
        return ExtractJob(job.job_id or job_id, job.status, job.error)

    async def status(self, job_id: str) -> ExtractJob:
        """How a job stands; raises FrameServerNotFound when it is not known (any more)."""
        path = f"/frames/jobs/{quote(job_id, safe='')}/status"
        job = _decoded(await self._get(path, {}, ANSWER_TIMEOUT, MAX_ANSWER_BYTES), _JobAnswer)
        return ExtractJob(job_id, job.status, job.error)

    async def results(self, job_id: str) -> Extraction:
        """The frames of a completed job; raises ResultsNotReady before that."""
        path = f"/frames/jobs/{quote(job_id, safe='')}/results"
        return _decoded(await self._get(path, {}, ANSWER_TIMEOUT, MAX_ANSWER_BYTES), Extraction)

    async def frame(self, job_id: str, number: int) -> bytes:
        """One frame of a job, encoded, for a host that does not share the volume."""
        return await self._picture(f"/frames/{quote(job_id, safe='')}/{number}", {}, FRAME_TIMEOUT)

    async def enhanced_frame(
        self, video_path: str, timestamp: float, model: str, fidelity_weight: float, timeout: float
    ) -> bytes:
        """The frame shown at `timestamp` seconds with its faces restored, encoded; it may be larger than the
        original.

        Args:
            timeout: seconds; on a CPU enhancing takes tens of them a frame.

        Raises:
            FrameServerUnavailable: worth another try.
            FrameServerRefused: not worth one.
        """
        query = {
            "video_path": video_path,
            "timestamp": repr(timestamp),
            "output_format": "jpeg",
            "quality": "95",
            "enhance": "1",
            "model": model,
            "fidelity_weight": repr(fidelity_weight),
        }
        async with self._enhancing:
            return await self._picture("/frames/extract-frame", query, timeout)

    async def _picture(self, path: str, query: Mapping[str, str], timeout: float) -> bytes:
        picture = await self._get(path, query, timeout, MAX_FRAME_BYTES)
        if image_kind(picture[:HEAD]) is None:
            raise FrameServerRefused("What the Frame Server sent is not a picture.")
        return picture

    async def _get(self, path: str, query: Mapping[str, str], timeout: float, limit: int) -> bytes:
        return await self._request("GET", path, query, timeout, limit, None)

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], timeout: float, limit: int, body: Any
    ) -> bytes:
        """The body of a successful answer, at most `limit` bytes long."""
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        try:
            async with self._session.request(
                method, self._base + path, params=query, json=body, timeout=limits, allow_redirects=False
            ) as answer:
                if answer.status not in (200, 202):
                    raise _failure(answer.status, await _bounded(answer, 2048))
                content = await _bounded(answer, limit + 1)
        except TimeoutError as error:
            raise FrameServerUnavailable(f"The Frame Server did not answer within {timeout:g} s.") from error
        except aiohttp.ClientError as error:
            raise FrameServerUnavailable(f"The Frame Server cannot be reached: {error}") from error
        if len(content) > limit:
            raise FrameServerRefused(f"The Frame Server sent more than {limit >> 20} MiB.")
        return content


async def _bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first `limit` bytes."""
    parts, left = [], limit
    async for part in answer.content.iter_any():
        parts.append(part[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def _decoded(body: bytes, type_: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameServerRefused(f"The Frame Server's answer cannot be understood: {error}") from error


def _failure(status: int, body: bytes) -> Exception:
    said = " ".join(body.decode(errors="replace").split())[:300]
    text = f"The Frame Server answered {status}" + (f": {said}" if said else ".")
    if status == 409:
        return ResultsNotReady(text)
    if status >= 500 or status in TRY_LATER:
        return FrameServerUnavailable(text)
    return FrameServerNotFound(text) if status in (404, 410) else FrameServerRefused(text)
