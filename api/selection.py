"""Parts of a result: some of its fields, and its embeddings in the form that is wanted."""

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
"""What can be asked for: `metadata`, `faces` as a whole, or single fields of each face. `status`, and `face_id`
where there are faces, are always there."""


class Selection:
    """What is wanted of a result.

    Args:
        fields: some of `FIELDS`; none of them means all.
        embeddings: a list of numbers; base64 of 512 little-endian 32-bit floats; or left out.
        thumbnails: their addresses, or the pictures themselves as ``data:`` addresses (RFC 2397).

    Attributes:
        all: nothing is left out or changed.
        pictures: whether `apply` needs the best shots.
        name: tells this selection from others.
    """

    def __init__(
        self, fields: frozenset[str], embeddings: Embeddings, thumbnails: Thumbnails = "url"
    ) -> None:
        self.all = not fields and embeddings == "json" and thumbnails == "url"
        asked = f"{sorted(fields)} {embeddings} {thumbnails}"
        self.name = hashlib.sha256(asked.encode()).hexdigest()[:16]
        wanted = fields or frozenset(("faces", "metadata"))
        named = {name.removeprefix("faces.") for name in wanted if name.startswith("faces.")} | {"face_id"}
        self._faces = "faces" in wanted or len(named) > 1
        self._named = None if "faces" in wanted else named
        self._metadata = "metadata" in wanted
        self._embeddings = embeddings
        self.pictures = thumbnails == "inline" and ("faces" in wanted or "thumbnail" in named)

    def apply(
        self, part: bytes, number: int, parts: int, pictures: Mapping[str, bytes] = MappingProxyType({})
    ) -> bytes:
        """What is left of a stored part, `number` of so many; one after the other they are JSON again.

        Args:
            pictures: the best shots of the people in this part, JPEG; who has none gets null.
        """
        if self.all:
            return part
        faces, beside = faces_of_part(part, number, parts)
        left = b""
        if number == 0:
            left += b'{"status":"completed"' + (b',"faces":[' if self._faces else b"")
        if self._faces and faces:
            encoded = msgspec.json.encode([self._face(face, pictures) for face in faces])[1:-1]
            left += (b"," if number else b"") + encoded
        if number == parts - 1:
            left += b"]" if self._faces else b""
            left += b',"metadata":' + msgspec.json.encode(beside["metadata"]) if self._metadata else b""
            left += b"}"
        return left

    def _face(self, face: dict[str, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
        kept = {name: value for name, value in face.items() if self._named is None or name in self._named}
        if "embedding" in kept and self._embeddings == "none":
            del kept["embedding"]
        elif "embedding" in kept and self._embeddings == "base64":
            kept["embedding"] = b64encode(packed(kept["embedding"])).decode()
        if "thumbnail" in kept and self.pictures:
            picture = pictures.get(face["face_id"])
            kept["thumbnail"] = picture and f"data:image/jpeg;base64,{b64encode(picture).decode()}"
        return kept
