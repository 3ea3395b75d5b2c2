"""Content codings: what a caller accepts, and bodies packed piece by piece."""

import sys
import zlib
from collections.abc import Callable
from typing import Literal, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Coding = Literal["zstd", "gzip"]


class Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


PACKERS: dict[Coding, Callable[[], Packer]] = {
    "zstd": lambda: zstd.ZstdCompressor(level=3),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}
"""The better one first: a result takes a tenth of the time with zstd, and is no larger."""


def negotiated(accepted: str) -> Coding | None:
    """The coding to answer with, from an Accept-Encoding header; None: as it is."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.replace(" ", "").removeprefix("q=")
        try:
            weights[name.strip()] = float(weight or 1)
        except ValueError:
            weights[name.strip()] = 0.0
    wanted = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in PACKERS}
    best = max(wanted, key=wanted.__getitem__)
    return best if wanted[best] > 0 else None
