"""Results as they are stored: in parts, so that the API can stream a result without holding all of it in memory.

The hash ``faces:job:{job_id}:result`` has the fields ``type``, ``etag``, ``parts`` (their number) and ``part:0``,
``part:1``, … The parts joined in order are the JSON of a ResultBody. A part ends between two faces, so that each can
be parsed alone. ``thumbnail:{face_id}`` and ``strip:{face_id}`` are JPEG pictures (schemas.store.pictures).
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from schemas.results import ResultBody

PART_BYTES = 1 << 18
"""Size from which a part is complete; its last face, and the metadata in the last part, may exceed it."""
_OPEN, _CLOSE = b'{"status":"completed","faces":[', b"],"


class ResultChanged(Exception):
    """The result was replaced while it was being read."""


class ResultHead(msgspec.Struct, frozen=True):
    """The first part of a result.

    Attributes:
        type: media type.
        etag: hash of all parts.
        parts: how many there are.
        first: the first one.
    """

    type: str
    etag: str
    parts: int
    first: bytes


def result_fields(body: ResultBody) -> dict[str, Any]:
    """Fields of the hash, without the pictures."""
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
    """Reads the first part of a result; None when there is no result."""
    values = await redis.hmget(key, ["type", "etag", "parts", "part:0"])
    type_, etag, parts, first = cast("list[bytes | None]", values)
    if type_ is None or etag is None or parts is None or first is None:
        return None
    return ResultHead(type_.decode(), etag.decode(), int(parts), first)


async def read_parts(redis: Redis, key: str, known: ResultHead) -> AsyncIterator[bytes]:
    """Reads the parts of a result in order, one at a time.

    Raises:
        ResultChanged: the result was replaced or has expired since `known` was read.
    """
    yield known.first
    for number in range(1, known.parts):
        values = await redis.hmget(key, ["etag", f"part:{number}"])
        etag, part = cast("list[bytes | None]", values)
        if etag is None or part is None or etag.decode() != known.etag:
            raise ResultChanged(key)
        yield part


def faces_of_part(part: bytes, number: int, parts: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Parses a part: its faces and, in the last part, the fields beside ``faces``."""
    text = part if number == 0 else _OPEN + part.removeprefix(b",")
    if number < parts - 1:
        text += b"]}"
    fields: Mapping[str, Any] = msgspec.json.decode(text)
    return fields["faces"], {name: value for name, value in fields.items() if name not in ("status", "faces")}
