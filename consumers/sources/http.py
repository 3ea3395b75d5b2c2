"""Sources from the web: downloaded to a bounded file, from hosts that the operator allows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from consumers.sources.addresses import CheckedResolver, Lookup, system_lookup
from facecore.video import SourceError
from schemas.addresses import AllowList, NotAllowed

MAX_REDIRECTS = 5
CONNECT_TIMEOUT = 10.0
SILENCE = 30.0
"""Seconds without a byte after which a download is given up."""
NO_MEDIA = ("text/", "application/json", "application/xml", "application/xhtml")
"""Types of pages about a film, of error messages and of sign-in forms."""
TRY_LATER = frozenset({408, 425, 429})


class WebSourceUnavailable(Exception):
    """The source could not be fetched now; worth another try."""


class ConnectionBroken(WebSourceUnavailable):
    """The connection broke off after `received` bytes."""


def checked_session(allowed: AllowList, lookup: Lookup | None = None) -> aiohttp.ClientSession:
    """A session that connects to allowed addresses only, holds nothing over from one request to the next, and takes
    bodies as they are: a small one that unpacks to a huge one is never unpacked."""
    resolver = CheckedResolver(allowed, lookup or system_lookup)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


class WebClient:
    """Fetches from allowed hosts; to be closed.

    Args:
        lookup: resolves names, for tests.
    """

    def __init__(self, allowed: AllowList, *, lookup: Lookup | None = None) -> None:
        self._allowed = allowed
        self._session = checked_session(allowed, lookup)

    async def close(self) -> None:
        await self._session.close()

    async def read(self, url: str, *, max_bytes: int, seconds: float) -> bytes:
        """A small file: a sprite map, a sprite picture.

        Raises:
            SourceError: not allowed, not there, too large.
            WebSourceUnavailable: worth another try.
        """
        try:
            async with asyncio.timeout(seconds), self._opened(url, {}) as answer:
                return b"".join([part async for part in _body(answer, url, max_bytes)])
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} was not fetched within {seconds:.0f} s.") from error

    async def download(self, url: str, target: Path, *, max_bytes: int, seconds: float) -> None:
        """Writes a film or a picture to a file; goes on once where the connection breaks off.

        Raises:
            SourceError: not allowed, not there, no media, too large.
            WebSourceUnavailable: worth another try.
        """
        try:
            async with asyncio.timeout(seconds):
                with target.open("wb") as file:
                    await self._fill(url, file, max_bytes)
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} was not downloaded within {seconds:.0f} s.") from error

    async def _fill(self, url: str, file: BinaryIO, max_bytes: int) -> None:
        validator = await self._append(url, file, max_bytes, {})
        if validator is None:
            return
        received = file.tell()
        unfinished = await self._append(
            url, file, max_bytes, {"Range": f"bytes={received}-", "If-Range": validator}
        )
        if unfinished is not None:
            raise WebSourceUnavailable(f"The connection for {url} broke off twice.")

    async def _append(self, url: str, file: BinaryIO, max_bytes: int, headers: dict[str, str]) -> str | None:
        """None: all is there; else the connection broke off, and this is the name of the version it had."""
        start = file.tell()
        async with self._opened(url, headers) as answer:
            kind = answer.headers.get("Content-Type", "").strip().lower()
            if kind.startswith(NO_MEDIA):
                raise SourceError(f"{url} is of type {kind.partition(';')[0]}, not a video or picture.")
            if headers and (answer.status != 206 or not _goes_on(answer, start)):
                raise WebSourceUnavailable(
                    f"{url} changed, or cannot be gone on with, after the connection broke off."
                )
            try:
                async for part in _body(answer, url, max_bytes - start):
                    await asyncio.to_thread(file.write, part)
            except ConnectionBroken:
                if not (validator := answer.headers.get("ETag") or answer.headers.get("Last-Modified")):
                    raise
                return validator
        return None

    @asynccontextmanager
    async def _opened(self, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer after redirects, each of which is checked like the first address."""
        place = _address(url, None)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=SILENCE)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                self._allowed.check(place)
                async with self._session.get(
                    place, headers=headers, allow_redirects=False, timeout=limits
                ) as answer:
                    if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                        place = _address(answer.headers["Location"], place)
                        continue
                    _require_success(answer, url)
                    yield answer
                    return
        except NotAllowed as error:
            raise SourceError(str(error)) from error
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} does not answer.") from error
        except aiohttp.ClientError as error:
            raise WebSourceUnavailable(f"{url} cannot be fetched: {error}") from error
        raise SourceError(f"{url} leads on more than {MAX_REDIRECTS} times.")


def _address(told: str, beside: URL | None) -> URL:
    """An address, which may be relative to another one."""
    try:
        address = URL(told) if beside is None else beside.join(URL(told))
        if address.host is None:  # looked at here, since an encoded name is decoded when it is asked for
            raise ValueError("it names no host")
    except ValueError as error:  # UnicodeError is one
        raise SourceError(f"{told[:200]!r} is not an http or https address: {error}.") from error
    return address


async def _body(answer: aiohttp.ClientResponse, url: str, max_bytes: int) -> AsyncIterator[bytes]:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError(f"{url} is packed ({answer.headers['Content-Encoding']}), which was not asked for.")
    too_large = SourceError(f"{url} is larger than {max_bytes} bytes.")
    if (answer.content_length or 0) > max_bytes:
        raise too_large
    received = 0
    try:
        async for part in answer.content.iter_chunked(1 << 18):
            received += len(part)
            if received > max_bytes:
                raise too_large
            yield part
    except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerTimeoutError) as error:
        raise ConnectionBroken(f"The connection for {url} broke off after {received} bytes.") from error


def _goes_on(answer: aiohttp.ClientResponse, start: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _require_success(answer: aiohttp.ClientResponse, url: str) -> None:
    if answer.status in (200, 206):
        return
    if answer.status >= 500 or answer.status in TRY_LATER:
        raise WebSourceUnavailable(f"{url} was answered with {answer.status}.")
    raise SourceError(f"{url} was answered with {answer.status}.")
