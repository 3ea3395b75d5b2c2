"""How the result of a job lies in the server: in parts, so that nobody who hands it on must hold all of it.

The hash ``faces:job:{job_id}:result`` has the fields ``type``, ``etag``, ``parts`` (their number) and ``part:0``,
``part:1``, … The parts, one after the other, are the JSON of a ResultBody. A part ends between two faces, so that it
can be read without the others; ``thumbnail:{face_id}`` are JPEG pictures.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.results import ResultBody

PART_BYTES = 1 << 18
"""Size at which a part is closed; the last face in it, and what is left for the last part, come on top."""
_OPEN, _CLOSE = b'{"status":"completed","faces":[', b"],"


class ResultChanged(Exception):
    """The result was written anew while it was being read."""


class ResultHead(msgspec.Struct, frozen=True):
    """Attributes: first: the first of `parts` parts; etag names the bytes of all of them."""

    type: str
    etag: str
    parts: int
    first: bytes


def result_fields(body: ResultBody) -> dict[str, Any]:
    """The fields of the hash, but for the thumbnails."""
    digest, fields = hashlib.sha256(), dict[str, Any]()
    for number, part in enumerate(_parts(body)):
        digest.update(part)
        fields[f"part:{number}"] = part
    return {
        "type": "application/json",
        "etag": digest.hexdigest()[:32],
        "parts": len(fields),
        **fields,
    }


def _parts(body: ResultBody) -> Iterator[bytes]:
    part = bytearray(_OPEN)
    for number, face in enumerate(body.faces):
        if len(part) >= PART_BYTES:
            yield bytes(part)
            part.clear()
        part += (b"," if number else b"") + msgspec.json.encode(face)
    rest = msgspec.json.encode({"metadata": body.metadata})
    yield bytes(part + _CLOSE + rest[1:])


async def read_head(redis: Redis, key: str) -> ResultHead | None:
    """None: there is no result (any more)."""
    told = await redis.hmget(key, ["type", "etag", "parts", "part:0"])
    type_, etag, parts, first = cast("list[bytes | None]", told)
    if type_ is None or etag is None or parts is None or first is None:
        return None
    return ResultHead(type_.decode(), etag.decode(), int(parts), first)


async def read_parts(redis: Redis, key: str, known: ResultHead) -> AsyncIterator[bytes]:
    """The parts in their order, one in memory at a time.

    Raises:
        ResultChanged: after some of them.
    """
    yield known.first
    for number in range(1, known.parts):
        told = await redis.hmget(key, ["etag", f"part:{number}"])
        etag, part = cast("list[bytes | None]", told)
        if etag is None or part is None or etag.decode() != known.etag:
            raise ResultChanged(key)
        yield part


def faces_of_part(part: bytes, number: int, parts: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The faces of a part and, of the last one, what stands beside the faces."""
    text = part if number == 0 else _OPEN + part.removeprefix(b",")
    if number < parts - 1:
        text += b"]}"
    told: Mapping[str, Any] = msgspec.json.decode(text)
    return told["faces"], {name: value for name, value in told.items() if name not in ("status", "faces")}
