"""Web client: downloads sources of limited size from hosts that the operator allows."""

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
CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 30.0
"""Seconds without a byte after which a download fails."""
NON_MEDIA_TYPES = ("text/", "application/json", "application/xml", "application/xhtml")
"""Content types of web pages, error messages and sign-in forms."""
TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Client error statuses after which a retry may succeed."""


def is_address(source: str) -> bool:
    """Whether a source is an http or https address, not a path."""
    return source.lower().startswith(("http://", "https://"))


class WebSourceUnavailable(Exception):
    """The source could not be fetched now; a retry may succeed."""


class ConnectionBroken(WebSourceUnavailable):
    """The connection was lost in the middle of the body."""


def checked_session(allowed: AllowList, lookup: Lookup | None = None) -> aiohttp.ClientSession:
    """Opens an HTTP session that connects to allowed addresses only.

    It keeps no cookies and no connections between requests. It does not decompress bodies, so that a small one cannot
    become a huge one.
    """
    resolver = CheckedResolver(allowed, lookup or system_lookup)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


class WebClient:
    """Fetches files from allowed hosts; `close` it after use.

    Args:
        lookup: resolves host names; the operating system's by default.
    """

    def __init__(self, allowed: AllowList, *, lookup: Lookup | None = None) -> None:
        self._allowed = allowed
        self._session = checked_session(allowed, lookup)

    async def close(self) -> None:
        """Closes the session."""
        await self._session.close()

    async def read(self, url: str, *, max_bytes: int, seconds: float) -> bytes:
        """Fetches a small file, such as a sprite map, into memory.

        Args:
            seconds: limit for the whole request.

        Raises:
            SourceError: the file is not allowed, does not exist or is too large.
            WebSourceUnavailable: a retry may succeed.
        """
        try:
            async with asyncio.timeout(seconds), self._opened(url, {}) as response:
                return b"".join([part async for part in _body(response, url, max_bytes)])
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} was not fetched within {seconds:.0f} s.") from error

    async def download(self, url: str, target: Path, *, max_bytes: int, seconds: float) -> None:
        """Downloads a video or a picture to a file; resumes once after a lost connection.

        Args:
            seconds: limit for the whole download.

        Raises:
            SourceError: the file is not allowed, does not exist, is no media file or is too large.
            WebSourceUnavailable: a retry may succeed, also after a full disk.
        """
        try:
            async with asyncio.timeout(seconds):
                with target.open("wb") as file:
                    await self._fill(url, file, max_bytes)
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} was not downloaded within {seconds:.0f} s.") from error
        except OSError as error:
            text = f"{url} cannot be stored in {target.parent}: {(error.strerror or str(error)).lower()}."
            raise WebSourceUnavailable(text) from error

    async def _fill(self, url: str, file: BinaryIO, max_bytes: int) -> None:
        validator = await self._append(url, file, max_bytes, {})
        if validator is None:
            return
        received = file.tell()
        unfinished = await self._append(
            url, file, max_bytes, {"Range": f"bytes={received}-", "If-Range": validator}
        )
        if unfinished is not None:
            raise WebSourceUnavailable(f"The connection was lost twice during the download of {url}.")

    async def _append(self, url: str, file: BinaryIO, max_bytes: int, headers: dict[str, str]) -> str | None:
        """Appends the rest of a file; returns None at its end, or the validator to resume with (its ETag or
        Last-Modified date) when the connection was lost."""
        start = file.tell()
        async with self._opened(url, headers) as response:
            kind = response.headers.get("Content-Type", "").strip().lower()
            if kind.startswith(NON_MEDIA_TYPES):
                raise SourceError(f"{url} is of type {kind.partition(';')[0]}, not a video or picture.")
            if headers and (response.status != 206 or not _continues_at(response, start)):
                raise WebSourceUnavailable(
                    f"The download of {url} could not be resumed after the connection was lost: the file has changed,"
                    " or its host does not serve parts of files."
                )
            try:
                async for part in _body(response, url, max_bytes - start):
                    await asyncio.to_thread(file.write, part)
            except ConnectionBroken:
                if not (validator := response.headers.get("ETag") or response.headers.get("Last-Modified")):
                    raise
                return validator
        return None

    @asynccontextmanager
    async def _opened(self, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yields the response after redirects, each of which is checked like the first address."""
        address = _address(url, None)
        timeouts = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
        )
        try:
            for _ in range(MAX_REDIRECTS + 1):
                self._allowed.check(address)
                async with self._session.get(
                    address, headers=headers, allow_redirects=False, timeout=timeouts
                ) as response:
                    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                        address = _address(response.headers["Location"], address)
                        continue
                    _require_success(response, url)
                    yield response
                    return
        except NotAllowed as error:
            raise SourceError(str(error)) from error
        except TimeoutError as error:
            raise WebSourceUnavailable(f"{url} cannot be fetched: its host does not respond.") from error
        except aiohttp.ClientError as error:
            raise WebSourceUnavailable(f"{url} cannot be fetched: {error}") from error
        raise SourceError(f"{url} redirects more than {MAX_REDIRECTS} times.")


def _address(text: str, base: URL | None) -> URL:
    """Parses an address, which may be relative to ``base``."""
    try:
        address = URL(text) if base is None else base.join(URL(text))
        if address.host is None:  # `host` decodes the name, which may raise too
            raise ValueError("it names no host")
    except ValueError as error:  # includes UnicodeError
        raise SourceError(f"{text[:200]!r} is not an http or https address: {error}.") from error
    return address


async def _body(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> AsyncIterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise SourceError(f"{url} is served with content encoding {encoding}, which is not supported.")
    too_large = SourceError(f"{url} is larger than {max_bytes} bytes.")
    if (response.content_length or 0) > max_bytes:
        raise too_large
    received = 0
    try:
        async for part in response.content.iter_chunked(1 << 18):
            received += len(part)
            if received > max_bytes:
                raise too_large
            yield part
    except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerTimeoutError) as error:
        raise ConnectionBroken(f"The connection was lost after {received} bytes of {url}.") from error


def _continues_at(response: aiohttp.ClientResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _require_success(response: aiohttp.ClientResponse, url: str) -> None:
    if response.status in (200, 206):
        return
    text = f"{url} cannot be fetched: its host answered with status {response.status}."
    if response.status >= 500 or response.status in TRANSIENT_STATUSES:
        raise WebSourceUnavailable(text)
    raise SourceError(text)
