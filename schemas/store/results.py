"""Results as they are stored: in parts, so that the API can stream a result without holding all of it in memory.

The hash ``faces-service:job:{job_id}:result`` has the fields ``type``, ``etag``, ``parts`` (their number) and
``part:0``, ``part:1``, … The parts joined in order are the JSON of a ResultBody. A part ends between two faces, so
that each can be parsed alone. ``thumbnail:{face_id}`` and ``strip:{face_id}`` are JPEG pictures
(schemas.store.pictures).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
from redis.asyncio import Redis

from schemas.results import ResultBody

PART_BYTES = 1 << 18
"""Size from which a part is complete; its last face, and the metadata in the last part, may exceed it."""
_OPEN, _CLOSE = b'{"status":"completed","faces":[', b"],"


class _FaceId(Protocol):
    @property
    def face_id(self) -> str: ...


Face = TypeVar("Face", bound=_FaceId)


class _Faces(msgspec.Struct, Generic[Face], frozen=True):
    faces: list[Face]


class _Raw(msgspec.Struct, frozen=True):
    faces: list[msgspec.Raw]
    metadata: msgspec.Raw = msgspec.Raw()


class _Id(msgspec.Struct, frozen=True):
    face_id: str


class _Model(msgspec.Struct, frozen=True):
    model: str


class _WithMetadata(msgspec.Struct, frozen=True):
    metadata: _Model


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


async def read_face(
    redis: Redis, key: str, known: ResultHead, face_id: str, type_: type[Face]
) -> tuple[Face, str]:
    """Reads one face and the model pack of its embedding; of the result, only one part is in memory at a time.

    Raises:
        KeyError: no face has this id.
        ResultChanged: the result was replaced or has expired since `known` was read.
    """
    name, number = msgspec.json.encode(face_id), 0
    async for part in read_parts(redis, key, known):
        if name in part:
            faces = await asyncio.to_thread(_faces_of, part, number, known.parts, type_)
            for face in faces:
                if face.face_id == face_id:
                    last = part if number == known.parts - 1 else await _last_part(redis, key, known)
                    return face, await asyncio.to_thread(_model_of, last, known.parts)
        number += 1
    raise KeyError(face_id)


async def _last_part(redis: Redis, key: str, known: ResultHead) -> bytes:
    etag, part = cast("list[bytes | None]", await redis.hmget(key, ["etag", f"part:{known.parts - 1}"]))
    if etag is None or part is None or etag.decode() != known.etag:
        raise ResultChanged(key)
    return part


def _faces_of(part: bytes, number: int, parts: int, type_: type[Face]) -> list[Face]:
    return msgspec.json.decode(_complete(part, number, parts), type=_Faces[type_]).faces  # type: ignore[valid-type]


def _model_of(last: bytes, parts: int) -> str:
    return msgspec.json.decode(_complete(last, parts - 1, parts), type=_WithMetadata).metadata.model


def _complete(part: bytes, number: int, parts: int) -> bytes:
    """A part as one JSON object."""
    text = part if number == 0 else _OPEN + part.removeprefix(b",")
    return text if number == parts - 1 else text + b"]}"


def faces_of_part(part: bytes, number: int, parts: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Parses a part: its faces and, in the last part, the fields beside ``faces``."""
    fields: Mapping[str, Any] = msgspec.json.decode(_complete(part, number, parts))
    return fields["faces"], {name: value for name, value in fields.items() if name not in ("status", "faces")}


def face_ids(part: bytes, number: int, parts: int) -> list[str]:
    """The ids of the faces in a part."""
    return [face.face_id for face in _faces_of(part, number, parts, _Id)]


def with_fields(part: bytes, number: int, parts: int, fields: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Adds fields to the faces of a part, by face id."""
    raw = msgspec.json.decode(_complete(part, number, parts), type=_Raw)
    ids = face_ids(part, number, parts)
    faces = [
        bytes(face)[:-1] + b"," + msgspec.json.encode(fields[face_id])[1:]
        for face_id, face in zip(ids, raw.faces, strict=True)
    ]
    text = (_OPEN if number == 0 else b"," if part.startswith(b",") else b"") + b",".join(faces)
    if number < parts - 1:
        return text
    return text + _CLOSE + b'"metadata":' + bytes(raw.metadata) + b"}"
