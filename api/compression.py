"""Content codings (RFC 9110, section 8.4): negotiation, and compression piece by piece."""

import asyncio
import sys
import zlib
from collections.abc import Callable
from typing import Literal, Protocol

from aiohttp import hdrs, web

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Coding = Literal["zstd", "gzip"]


class Compressor(Protocol):
    """Compresses a body piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Compresses the next piece."""
        ...

    def flush(self) -> bytes:
        """Ends the body."""
        ...


COMPRESSORS: dict[Coding, Callable[[], Compressor]] = {
    "zstd": lambda: zstd.ZstdCompressor(level=3),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}
"""In order of preference: zstd compresses a result in a tenth of gzip's time, to no more bytes."""


MIN_COMPRESSED_BYTES = 1024
"""Size from which a body is compressed."""


def compressed(body: bytes, coding: Coding) -> bytes:
    """Returns a body in a coding."""
    compressor = COMPRESSORS[coding]()
    return compressor.compress(body) + compressor.flush()


async def packed(request: web.Request, body: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns a body, in a coding that the caller accepts where it is large, and the headers that say so."""
    headers: dict[str, str] = {hdrs.VARY: hdrs.ACCEPT_ENCODING}
    coding = negotiate(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    if coding is None or len(body) < MIN_COMPRESSED_BYTES:
        return body, headers
    return await asyncio.to_thread(compressed, body, coding), headers | {hdrs.CONTENT_ENCODING: coding}


def weights(accepted: str) -> dict[str, float]:
    """The weight of each name in a header such as Accept-Encoding or Accept (RFC 9110, section 12.4.2)."""
    found: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.replace(" ", "").removeprefix("q=")
        try:
            found[name.strip()] = float(weight or 1)
        except ValueError:
            found[name.strip()] = 0.0
    return found


def negotiate(accept_encoding: str) -> Coding | None:
    """The coding for a response, by the weights of an Accept-Encoding header (RFC 9110, section 12.5.3); or None."""
    wanted = weights(accept_encoding)
    ours = {coding: wanted.get(coding, wanted.get("*", 0.0)) for coding in COMPRESSORS}
    best = max(ours, key=ours.__getitem__)
    return best if ours[best] > 0 else None
