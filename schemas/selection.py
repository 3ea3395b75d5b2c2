"""Parts of a result: some of its fields, and its embeddings in the form that is wanted."""

import sys
from array import array
from base64 import b64encode
from typing import Any, Literal, get_args

import msgspec

from schemas.results import Face, ResultBody

Embeddings = Literal["json", "base64", "none"]
EMBEDDINGS: tuple[Embeddings, ...] = get_args(Embeddings)
FIELDS = (
    *(name for name in ResultBody.__struct_fields__ if name != "status"),
    *(f"faces.{name}" for name in Face.__struct_fields__),
)
"""What can be asked for: `metadata`, `faces` as a whole, or single fields of each face. `status`, and `face_id`
where there are faces, are always there."""


def select(body: bytes, fields: frozenset[str], embeddings: Embeddings) -> bytes:
    """The stored body of a result with less in it.

    Args:
        fields: some of `FIELDS`; none of them means all.
        embeddings: a list of numbers; base64 of 512 little-endian 32-bit floats; or left out.
    """
    result: dict[str, Any] = msgspec.json.decode(body)
    wanted = fields or frozenset(("faces", "metadata"))
    named = {name.removeprefix("faces.") for name in wanted if name.startswith("faces.")} | {"face_id"}
    kept: dict[str, Any] = {"status": result["status"]}
    if "faces" in wanted or len(named) > 1:
        kept["faces"] = [
            _face(face, None if "faces" in wanted else named, embeddings) for face in result["faces"]
        ]
    if "metadata" in wanted:
        kept["metadata"] = result["metadata"]
    return msgspec.json.encode(kept)


def _face(face: dict[str, Any], named: set[str] | None, embeddings: Embeddings) -> dict[str, Any]:
    kept = {name: value for name, value in face.items() if named is None or name in named}
    if "embedding" in kept and embeddings == "none":
        del kept["embedding"]
    elif "embedding" in kept and embeddings == "base64":
        kept["embedding"] = _packed(kept["embedding"])
    return kept


def _packed(embedding: list[float]) -> str:
    numbers = array("f", embedding)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers).decode()
