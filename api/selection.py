"""Field selection: picks fields of a stored result and converts its embeddings and thumbnails."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.results import Embeddings, Face, ResultBody, Thumbnails
from schemas.store.results import faces_of_part
from schemas.vectors import packed

FIELDS = (
    *(name for name in ResultBody.__struct_fields__ if name != "status"),
    *(f"faces.{name}" for name in Face.__struct_fields__),
)
"""Values of the query parameter `fields`: `metadata`, `faces` as a whole, or single fields of each face. `status`,
and `face_id` of each face, are always included."""

EMBEDDINGS = ("embedding", "person_embedding")
"""Fields of a face that hold an embedding."""


class Selection:
    """The fields of a result to return, and the form of its embeddings and thumbnails.

    Args:
        fields: some of `FIELDS`; empty: all.
        embeddings: a list of numbers; base64 of 512 little-endian 32-bit floats; or left out.
        thumbnails: URLs, or the pictures themselves as ``data:`` URLs (RFC 2397).

    Attributes:
        all: the stored result is returned unchanged.
        inline_thumbnails: `apply` needs the thumbnails.
        name: differs between selections; part of the entity tag.
    """

    def __init__(
        self, fields: frozenset[str], embeddings: Embeddings, thumbnails: Thumbnails = "url"
    ) -> None:
        self.all = not fields and embeddings == "json" and thumbnails == "url"
        key = f"{sorted(fields)} {embeddings} {thumbnails}"
        self.name = hashlib.sha256(key.encode()).hexdigest()[:16]
        fields = fields or frozenset(("faces", "metadata"))
        face_fields = {field.removeprefix("faces.") for field in fields if field.startswith("faces.")}
        self._faces = "faces" in fields or bool(face_fields - {"face_id"})
        self._face_fields = None if "faces" in fields else face_fields | {"face_id"}  # None: all
        self._metadata = "metadata" in fields
        self._embeddings = embeddings
        self.inline_thumbnails = thumbnails == "inline" and ("faces" in fields or "thumbnail" in face_fields)

    def apply(
        self, part: bytes, number: int, parts: int, thumbnails: Mapping[str, bytes] = MappingProxyType({})
    ) -> bytes:
        """Selects from one stored part; the outputs of all parts, joined, are JSON again.

        Args:
            number: of the part, from 0.
            parts: number of parts of the result.
            thumbnails: JPEG, of the people in this part by face id; a person without one gets null.
        """
        if self.all:
            return part
        faces, rest = faces_of_part(part, number, parts)
        output = b""
        if number == 0:
            output += b'{"status":"completed"' + (b',"faces":[' if self._faces else b"")
        if self._faces and faces:
            encoded = msgspec.json.encode([self._face(face, thumbnails) for face in faces])[1:-1]
            output += (b"," if number else b"") + encoded
        if number == parts - 1:
            output += b"]" if self._faces else b""
            output += b',"metadata":' + msgspec.json.encode(rest["metadata"]) if self._metadata else b""
            output += b"}"
        return output

    def _face(self, face: dict[str, Any], thumbnails: Mapping[str, bytes]) -> dict[str, Any]:
        selected = {
            name: value
            for name, value in face.items()
            if self._face_fields is None or name in self._face_fields
        }
        for name in EMBEDDINGS:
            if name in selected and self._embeddings == "none":
                del selected[name]
            elif name in selected and self._embeddings == "base64":
                selected[name] = b64encode(packed(selected[name])).decode()
        if "thumbnail" in selected and self.inline_thumbnails:
            jpeg = thumbnails.get(face["face_id"])
            selected["thumbnail"] = jpeg and f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
        return selected
