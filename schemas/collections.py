"""Requests and responses of the REST interface for collections of known people."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.names import JOB_ID

_NOT_LAST, _NOT_WITHIN = r"\s\x00-\x1f\x7f-\x9f\ufeff", r"\x00-\x1f\x7f-\x9f"
"""White space and control characters; the union of what ``\\s`` means in Python and in JavaScript."""
Label = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=rf"^[^{_NOT_LAST}]([^{_NOT_WITHIN}]*[^{_NOT_LAST}])?(?!\n)$",
    ),
]
JobId = Annotated[str, Meta(pattern=rf"^{JOB_ID.pattern}(?!\n)$")]
FaceId = Annotated[str, Meta(max_length=64)]
MATCH_THRESHOLD = 0.45
"""Default threshold: least cosine similarity of a match. Measured by tests/eval/collections.py on photographs: it
accepts more than nine in ten with one photograph enrolled, all with several, and no stranger."""


class CollectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A collection and how much is in it.

    Attributes:
        faces: that can be found.
        model: the pack whose embeddings these are; others cannot be compared with them.
    """

    name: str
    created_at: str
    model: str
    people: int
    faces: int


class CollectionList(msgspec.Struct, frozen=True, kw_only=True):
    """Response with every collection."""

    collections: list[CollectionInfo]


class EnrolledFace(msgspec.Struct, frozen=True, kw_only=True):
    """A face of a collection, and the person it belongs to.

    Attributes:
        job_id, job_face_id: where it came from; the job may be forgotten by now.
    """

    collection: str
    person_id: str
    label: str
    face_id: str
    job_id: str
    job_face_id: str
    added_at: str


class PersonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a collection, with the number of enrolled faces."""

    person_id: str
    label: str
    faces: int


class PeopleList(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they came.

    Attributes:
        after: where the list goes on; None at its end.
    """

    people: list[PersonSummary]
    after: int | None


class KnownPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a collection, with every enrolled face."""

    person_id: str
    label: str
    faces: list[EnrolledFace]


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A face of a completed job, and whose it is. A label that is there already adds the face to that person."""

    job_id: JobId
    face_id: FaceId
    label: Label


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request to give a person another label."""

    label: Label
