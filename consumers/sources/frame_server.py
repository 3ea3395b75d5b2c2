"""Client of the Frame Server: its requests, the structs of its responses, and the meaning of its errors.

The exceptions differ by what to do about them: after `FrameServerUnavailable` a retry may succeed, after
`FrameServerRefused` it cannot; `FrameServerNotFound`: the Frame Server no longer has the job or the frame.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from facecore.video import SourceError
from facecore.video.images import HEAD_BYTES, image_kind
from facecore.video.restoring import is_restored

FRAME_TIMEOUT_SECONDS = 45.0
"""For one frame: the Frame Server itself waits 30 seconds for a frame that is not ready."""
RESPONSE_TIMEOUT_SECONDS = 30.0
"""For submitting a job, its status and its results."""
HEALTH_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_FRAME_BYTES = 64 << 20
MAX_RESPONSE_BYTES = 64 << 20
"""Largest JSON response: the results of 100,000 frames take about 20 MB."""
TIMESTAMP_TOLERANCE_SECONDS = 0.15
"""Most that a frame may be off its requested moment: the Frame Server counts frames, so that at ten frames per second
it can be wrong by one, and it rounds the timestamps of its files."""
TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Client error statuses after which a retry may succeed."""

ENHANCED_HEADER = "X-Faces-Enhanced"
NOT_ENHANCED = frozenset({"false", "no", "off", "none", "null"})
"""Values of the header, besides 0, for a frame that is sent as it is."""

Reply = TypeVar("Reply")


class FrameServerUnavailable(Exception):
    """The Frame Server could not respond now: no connection, a timeout or an internal error."""


class FrameServerRefused(Exception):
    """The Frame Server refused the request, or its response is invalid; a retry cannot succeed."""


class FrameServerNotFound(FrameServerRefused):
    """The Frame Server does not have the job or the frame (any more)."""


class FrameNotEnhanced(FrameServerRefused):
    """The Frame Server sent the frame as it is, since enhancement is off or the model is not loaded."""


class ResultsNotReady(Exception):
    """The job is not completed yet."""


class ExtractJob(msgspec.Struct, frozen=True):
    """State of an extraction job.

    Attributes:
        job_id: differs from the submitted one when another job already has the same frames.
    """

    job_id: str
    status: Literal["queued", "processing", "completed", "failed"]
    error: str | None = None


class ExtractedFrame(msgspec.Struct, frozen=True):
    """One extracted frame.

    Attributes:
        timestamp: seconds from the start of the video.
        url: location on the shared volume, as a file URL or a path; empty when not reported.
    """

    timestamp: float
    url: str = ""
    index: int | None = None
    frame_index: int | None = None

    @property
    def number(self) -> int | None:
        """Number of the frame in requests; the Frame Server has two field names for it."""
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
        """Seconds of the video; None when the Frame Server does not report it."""
        return self._facts.video_duration_seconds or self._facts.duration

    @property
    def fps(self) -> float | None:
        """Frames per second of the video; None when the Frame Server does not report it."""
        return self._facts.video_fps or self._facts.fps

    @property
    def _facts(self) -> _VideoFacts:
        return self.metadata or self.video_metadata or _VideoFacts()


class _JobReply(msgspec.Struct, frozen=True):
    status: Literal["queued", "processing", "completed", "failed"]
    job_id: str | None = None
    error: str | None = None


class FrameServer:
    """Client of one Frame Server.

    Args:
        base_url: such as ``http://frame-server:5001``.
        session: carries the requests; the caller closes it.
        response_timeout: seconds for submitting a job, its status and its results.
        frame_timeout: seconds for one frame.
        health_timeout: seconds for the health check.
    """

    def __init__(
        self,
        base_url: str,
        session: aiohttp.ClientSession,
        *,
        response_timeout: float = RESPONSE_TIMEOUT_SECONDS,
        frame_timeout: float = FRAME_TIMEOUT_SECONDS,
        health_timeout: float = HEALTH_TIMEOUT_SECONDS,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._session = session
        self._response_timeout = response_timeout
        self._frame_timeout = frame_timeout
        self._health_timeout = health_timeout
        self._enhancing = asyncio.Semaphore(1)  # the Frame Server enhances one frame at a time

    async def healthy(self) -> bool:
        """Whether the Frame Server reports within the health timeout that it works."""
        try:
            body = await self._get("/frames/health", {}, self._health_timeout, 1 << 16)
        except (FrameServerUnavailable, FrameServerRefused):
            return False
        try:
            status = msgspec.json.decode(body, type=dict[str, Any]).get("status", "healthy")
        except msgspec.DecodeError:
            return False
        return status in ("healthy", "ok", "degraded")

    async def extract(self, job_id: str, video_path: str, sampling: Mapping[str, Any]) -> ExtractJob:
        """Submits a job that extracts frames.

        Args:
            sampling: fields of the request that choose the frames: ``sampling_strategy`` and its companions.
        """
        body = {
            "video_path": video_path,
            "job_id": job_id,
            "output_format": "jpeg",
            "quality": 95,
            **sampling,
        }
        reply, _ = await self._request(
            "POST", "/frames/extract", {}, self._response_timeout, MAX_RESPONSE_BYTES, body
        )
        job = _decoded(reply, _JobReply)
        return ExtractJob(job.job_id or job_id, job.status, job.error)

    async def status(self, job_id: str) -> ExtractJob:
        """Reads the state of a job; raises FrameServerNotFound when the Frame Server does not have it."""
        path = f"/frames/jobs/{quote(job_id, safe='')}/status"
        job = _decoded(await self._get(path, {}, self._response_timeout, MAX_RESPONSE_BYTES), _JobReply)
        return ExtractJob(job_id, job.status, job.error)

    async def results(self, job_id: str) -> Extraction:
        """Reads the frames of a completed job; raises ResultsNotReady before that."""
        path = f"/frames/jobs/{quote(job_id, safe='')}/results"
        return _decoded(await self._get(path, {}, self._response_timeout, MAX_RESPONSE_BYTES), Extraction)

    async def frame(self, job_id: str, number: int) -> bytes:
        """Downloads one encoded frame of a job, for a host that does not share the volume."""
        path = f"/frames/{quote(job_id, safe='')}/{number}"
        return (await self._picture(path, {}, self._frame_timeout))[0]

    async def frame_at(self, video_path: str, timestamp: float) -> bytes:
        """Extracts and downloads the encoded frame at a timestamp, in seconds from the start of the video.

        Raises:
            FrameServerUnavailable: a retry may succeed.
            FrameServerRefused: the Frame Server has no such frame, or sent another one.
        """
        return (await self._picture_at(video_path, timestamp, {"enhance": "0"}, self._frame_timeout))[0]

    async def enhanced_frame(
        self, video_path: str, timestamp: float, model: str, fidelity_weight: float, timeout: float
    ) -> bytes:
        """Returns the frame at a timestamp with its faces enhanced, encoded; it may be larger than the original.

        A frame counts as enhanced when the header ``X-Faces-Enhanced`` says so. Frames from the Frame Server's cache
        lack the header: they are enhanced when they show something else than the frame without enhancement.

        Args:
            timestamp: seconds from the start of the video.
            timeout: seconds; on a CPU, enhancing a frame takes tens of seconds.

        Raises:
            FrameServerUnavailable: a retry may succeed.
            FrameNotEnhanced: the frame is not enhanced.
            FrameServerRefused: a retry cannot succeed.
        """
        options = {"enhance": "1", "model": model, "fidelity_weight": repr(fidelity_weight)}
        async with self._enhancing:
            picture, headers = await self._picture_at(video_path, timestamp, options, timeout)
            enhanced = headers.get(ENHANCED_HEADER, "").strip().lower()
            if enhanced:
                unchanged = enhanced in NOT_ENHANCED or _number(enhanced) == 0
            else:
                original, _ = await self._picture_at(video_path, timestamp, {"enhance": "0"}, timeout)
                unchanged = not await asyncio.to_thread(_is_restored, original, picture)
        if unchanged:
            raise FrameNotEnhanced(
                f"The Frame Server sent the frame without enhancement: it is off there, or {model} is not loaded."
            )
        return picture

    async def _picture_at(
        self, video_path: str, timestamp: float, options: Mapping[str, str], timeout: float
    ) -> tuple[bytes, Mapping[str, str]]:
        """Returns the frame at a timestamp and the headers; raises FrameServerRefused for a frame of another time."""
        moment = kept_timestamp(timestamp)
        query = {
            "video_path": video_path,
            "timestamp": repr(moment),
            "output_format": "jpeg",
            "quality": "95",
        }
        picture, headers = await self._picture("/frames/extract-frame", {**query, **options}, timeout)
        sent = _number(headers.get("X-Timestamp"))
        if sent is not None and abs(sent - moment) > TIMESTAMP_TOLERANCE_SECONDS:
            raise FrameServerRefused(
                f"The Frame Server sent the frame at {sent:.2f} s instead of {moment:.2f} s."
            )
        return picture, headers

    async def _picture(
        self, path: str, query: Mapping[str, str], timeout: float
    ) -> tuple[bytes, Mapping[str, str]]:
        picture, headers = await self._request("GET", path, query, timeout, MAX_FRAME_BYTES, None)
        if image_kind(picture[:HEAD_BYTES]) is None:
            raise FrameServerRefused("The Frame Server's response is not a picture.")
        return picture, headers

    async def _get(self, path: str, query: Mapping[str, str], timeout: float, limit: int) -> bytes:
        return (await self._request("GET", path, query, timeout, limit, None))[0]

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], timeout: float, limit: int, body: Any
    ) -> tuple[bytes, Mapping[str, str]]:
        """Returns body and headers of a successful response of at most ``limit`` bytes."""
        timeouts = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT_SECONDS)
        try:
            async with self._session.request(
                method, self._base + path, params=query, json=body, timeout=timeouts, allow_redirects=False
            ) as response:
                if response.status not in (200, 202):
                    raise _failure(response.status, await _bounded(response, 2048))
                content, headers = await _bounded(response, limit + 1), response.headers
        except TimeoutError as error:
            raise FrameServerUnavailable(f"The Frame Server did not respond within {timeout:g} s.") from error
        except aiohttp.ClientError as error:
            raise FrameServerUnavailable(f"The Frame Server cannot be reached: {error}") from error
        if len(content) > limit:
            raise FrameServerRefused(f"The Frame Server's response is larger than {limit >> 20} MiB.")
        return content, headers


def _is_restored(original: bytes, sent: bytes) -> bool:
    """Raises FrameServerRefused for what is not a picture; see `is_restored`."""
    try:
        return is_restored(original, sent)
    except SourceError as error:
        raise FrameServerRefused(f"The Frame Server's picture cannot be used: {error}") from error


def kept_timestamp(timestamp: float) -> float:
    """Rounds a timestamp up to 1/100 s, which is the precision that the Frame Server keeps: rounded to the nearest,
    the start of a frame or of a scene could become the frame before it."""
    return math.ceil(round(timestamp * 100, 6)) / 100


def _number(header: str | None) -> float | None:
    """Returns the number in a header; None without one."""
    try:
        return float(header) if header is not None else None
    except ValueError:
        return None


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Reads the body, or its first ``limit`` bytes."""
    parts, left = [], limit
    async for part in response.content.iter_any():
        parts.append(part[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def _decoded(body: bytes, type_: type[Reply]) -> Reply:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameServerRefused(f"The Frame Server's response is invalid: {error}") from error


def _failure(status: int, body: bytes) -> Exception:
    detail = " ".join(body.decode(errors="replace").split())[:300]
    text = f"The Frame Server answered with status {status}" + (f": {detail}" if detail else ".")
    if status == 409:
        return ResultsNotReady(text)
    if status >= 500 or status in TRANSIENT_STATUSES:
        return FrameServerUnavailable(text)
    return FrameServerNotFound(text) if status in (404, 410) else FrameServerRefused(text)
