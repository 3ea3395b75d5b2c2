"""Client of the Frame Server: one enhanced frame at a time."""

import asyncio

import aiohttp

from facecore.video.images import HEAD, image_kind

ENHANCE_TIMEOUT = 120.0
"""Seconds: enhancing one frame takes tens of them on a CPU."""
CONNECT_TIMEOUT = 5.0
MAX_FRAME_BYTES = 64 << 20
TRY_LATER = frozenset({408, 425, 429})


class NotAvailable(Exception):
    """The Frame Server could not answer now: no connection, no answer in time, an error of its own."""


class Refused(Exception):
    """The Frame Server's answer will not change: it does not know the video, or what it sent is no picture."""


class FrameServer:
    """Args:
    base_url: where it listens, such as ``http://frame-server:5001``.
    session: carries the requests; whoever opened it closes it.
    """

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._base = base_url.rstrip("/")
        self._session = session
        self._enhancing = asyncio.Semaphore(1)  # the Frame Server enhances one frame at a time

    async def enhanced_frame(
        self, video_path: str, timestamp: float, model: str, fidelity_weight: float
    ) -> bytes:
        """The frame shown at `timestamp` seconds with its faces restored, encoded; it may be larger than the
        original.

        Raises:
            NotAvailable: worth another try.
            Refused: not worth one.
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
            return await self._picture("/frames/extract-frame", query, ENHANCE_TIMEOUT)

    async def _picture(self, path: str, query: dict[str, str], timeout: float) -> bytes:
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        try:
            async with self._session.get(
                self._base + path, params=query, timeout=limits, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise _failure(answer.status, await _bounded(answer, 2048))
                picture = await _bounded(answer, MAX_FRAME_BYTES + 1)
        except TimeoutError as error:
            raise NotAvailable(f"The Frame Server did not answer within {timeout:.0f} s.") from error
        except aiohttp.ClientError as error:
            raise NotAvailable(f"The Frame Server cannot be reached: {error}") from error
        if len(picture) > MAX_FRAME_BYTES:
            raise Refused(f"The Frame Server sent a frame of more than {MAX_FRAME_BYTES >> 20} MiB.")
        if image_kind(picture[:HEAD]) is None:
            raise Refused("What the Frame Server sent is not a picture.")
        return picture


async def _bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first `limit` bytes."""
    parts, left = [], limit
    async for part in answer.content.iter_any():
        parts.append(part[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def _failure(status: int, body: bytes) -> NotAvailable | Refused:
    said = " ".join(body.decode(errors="replace").split())[:300]
    text = f"The Frame Server answered {status}" + (f": {said}" if said else ".")
    return NotAvailable(text) if status >= 500 or status in TRY_LATER else Refused(text)
