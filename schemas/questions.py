"""Searches whose caller waits for the reply: requests, what is searched for, and replies (schemas.store.replies)."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from schemas.collections import MATCH_THRESHOLD, FaceId, JobId

Limit = Annotated[int, Meta(ge=1, le=100)]
Base64 = Annotated[str, Meta(max_length=4096)]
Threshold = Annotated[float, Meta(ge=-1.0, le=1.0)]
DEFAULT_LIMIT = 10
"""Default number of people in a search result."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The face that is searched for: a photograph until its embedding has been computed.

    Attributes:
        embedding: 512 little-endian float32, not normalised.
        model: pack that the embedding comes from; None when the caller sent it without one.
        seen: the face of the photograph.
    """

    photograph: bytes = b""
    embedding: bytes = b""
    model: str | None = None
    seen: "SeenFace | None" = None


class SeenFace(msgspec.Struct, frozen=True, kw_only=True):
    """The face of a photograph that was searched for, the largest one.

    Attributes:
        bbox: x_min, y_min, x_max, y_max in pixels of the photograph.
        faces: how many there are in it.
        others: boxes of the largest of the other faces.
    """

    bbox: tuple[int, int, int, int]
    confidence: float
    faces: int
    others: tuple[tuple[int, int, int, int], ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a collection who matches a search.

    `label` is the person's, `face_id` the most similar of the person's enrolled faces, `similarity` the cosine of
    that face and the one searched for.
    """

    person_id: str
    label: str
    face_id: str
    similarity: float


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a search.

    Attributes:
        threshold: people who are less similar are left out.
        matches: the most similar person first.
        searched: how many faces were compared.
        face: of the photograph, when it was one.
    """

    collection: str
    threshold: float
    matches: list[Found]
    searched: int
    face: SeenFace | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to look for: an embedding, or a face of a completed job.

    Attributes:
        embedding: 512 numbers, or base64 of as many little-endian 32-bit floats; of any length but 0.
        limit: the most people to answer with.
        threshold: cosine similarity below which nobody is a match.
    """

    embedding: Annotated[list[float], Meta(min_length=512, max_length=512)] | Base64 | None = None
    job_id: JobId | None = None
    face_id: FaceId | None = None
    limit: Limit = DEFAULT_LIMIT
    threshold: Threshold = MATCH_THRESHOLD


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply to a waiting caller.

    Attributes:
        status: HTTP status.
        detail: text of a problem.
        body: JSON of any other response.
    """

    status: int = 200
    detail: str = ""
    body: Raw = Raw(b"null")

    @classmethod
    def of(cls, struct: msgspec.Struct) -> "Answer":
        """Returns an answer with a body."""
        return cls(body=Raw(msgspec.json.encode(struct)))
