"""Entries of a library's log: what was seen, what people said about it, and what was decided and erased.

The log is the truth; the people of a library follow from it (`facecore.library`). An entry's id is that of its place
in the log, ``ms-seq``, and is not part of the entry. Decisions are facts: what an entry decides is written in it, so
that the log gives the same people on every machine, whatever its arithmetic.

A face is a person of one film: ``job/face_0``. A person of the library is a set of faces, and has the id of the
entry that founded it: `person_id`.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.collections import Label
from schemas.divisions import MAX_SPOTS, Spot
from schemas.results import Appearance, Demographics

ENTRY_ID = re.compile(r"\d+-\d+")
PERSON_ID = re.compile(r"person-\d+-\d+-\d+")
"""Id of a person: ``person-``, the entry that founded it, the number of the face or correction in that entry."""

PersonId = Annotated[str, Meta(pattern=rf"^{PERSON_ID.pattern}(?!\n)$")]
FaceRef = Annotated[str, Meta(max_length=200, pattern=r"^[^/\s]+/[^/\s]+(?!\n)$")]
Subject = Annotated[str, Meta(max_length=200, pattern=rf"^({PERSON_ID.pattern}|[^/\s]+/[^/\s]+)(?!\n)$")]
"""A person, who stands for all faces of his, or a face."""
EntryId = Annotated[str, Meta(pattern=rf"^{ENTRY_ID.pattern}(?!\n)$")]
MAX_FACES = 10_000
"""Faces that one correction may name."""


def person_id(entry_id: str, number: int) -> str:
    """Returns the id of the person that an entry founds.

    Args:
        number: position of the face in a film's entry; 0 for a split or a move.
    """
    return f"person-{entry_id}-{number}"


class KnownAs(msgspec.Struct, frozen=True, kw_only=True):
    """A known person of a collection, with whom a face of a film was matched."""

    collection: str
    person_id: str


class LibraryFace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person of one film, as seen there.

    Attributes:
        face_id: ``job/face``.
        prototype: 512 little-endian float32 of length 1: the mean of the detections' embeddings, longer ones and
            those of higher quality counting more; empty when erased.
        sureness: length of the mean embedding; the longer, the surer the embedder.
        detections: number of them.
        spread: 1 minus the mean cosine similarity of the detections to the prototype.
        quality: composite quality of the best shot, 0-1.
        timestamp: seconds of the best shot.
        pictures: numbers of the pictures of an album that show the person, from 1, which have no times and hence no
            appearances; of a single picture too.
        known: who it is in a collection that the request names; the name stays there.
        likeness: cosine of the face to that person.
        division: by which its detections are somebody else (`schemas.divisions`); empty: they were grouped.
    """

    face_id: str
    prototype: bytes = b""
    sureness: float = 0.0
    detections: int = 0
    spread: float = 0.0
    quality: float = 0.0
    timestamp: float = 0.0
    appearances: tuple[Appearance, ...] = ()
    pictures: tuple[int, ...] = ()
    demographics: Demographics | None = None
    known: KnownAs | None = None
    likeness: float = 0.0
    division: str = ""


class Placement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Decision on a face of a film: whose it is.

    Attributes:
        person_id: the person it joins; None: it founds one.
        probability: that it is that person; of a founder, that it is none of the known people.
        similarity: cosine to that person, or of a founder to the most similar one; None without any.
        continues: the face of the film's earlier analysis that it replaces. It keeps what was said of that one.
    """

    person_id: str | None = None
    probability: float = 1.0
    similarity: float | None = None
    continues: str | None = None


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Two faces that may be one person, with the probability of it: a question to people."""

    face_id: str
    other_face_id: str
    probability: float


class FilmEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="film"):
    """A film was analysed, and its people found their places. It replaces the film's earlier analysis.

    Attributes:
        film_id: the same for every analysis of a film.
        source: path or address; empty when erased.
        at: seconds since 1970, when the job ended.
        pack: model pack of the prototypes; those of others are never compared with them.
        placements: one per face, in their order; none before `facecore.library.resolve.place`.
    """

    film_id: str
    job_id: str
    source: str = ""
    source_id: str | None = None
    at: float = 0.0
    pack: str = ""
    duration: float | None = None
    faces: tuple[LibraryFace, ...] = ()
    placements: tuple[Placement, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class Name(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="name"):
    """Correction: the person has this name; None takes it away."""

    person_id: PersonId
    label: Label | None


class Merge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="merge"):
    """Correction: the two are one person, with all their faces. The older one's id stays."""

    person_id: PersonId
    other_id: PersonId


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="split"):
    """Correction: these faces of the person are not this person, but another, new one."""

    person_id: PersonId
    faces: Annotated[tuple[FaceRef, ...], Meta(min_length=1, max_length=MAX_FACES)]


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="move"):
    """Correction: the face is that person, not the one it is with."""

    face_id: FaceRef
    person_id: PersonId


class Differ(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="differ"):
    """Correction: the two are different people."""

    one: Subject
    other: Subject


class Same(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="same"):
    """Correction: the two faces are one person. Their people are merged; answers a doubt."""

    face_id: FaceRef
    other_face_id: FaceRef


class Hide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hide"):
    """Correction: the person is of no interest (passers-by, posters), or is again."""

    person_id: PersonId
    hidden: bool = True


class Divide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="divide"):
    """Correction: the detections at these places of the film are one person, and not the one they were taken for.

    It holds from the next analysis of the film on, which follows at once where the film's job still exists.
    """

    film_id: Annotated[str, Meta(pattern=r"^film-[0-9a-f]{24}(?!\n)$")]
    spots: Annotated[tuple[Spot, ...], Meta(max_length=MAX_SPOTS)]


class Undo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="undo"):
    """Correction: takes back an earlier correction or an automatic merge, which is not repeated then."""

    entry_id: EntryId


Change = Name | Merge | Split | Move | Differ | Same | Hide | Divide | Undo


def people_of(change: Change) -> list[str]:
    """Returns the people whom a correction names."""
    fields = msgspec.structs.asdict(change).values()
    return [value for value in fields if isinstance(value, str) and PERSON_ID.fullmatch(value)]


class Correction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="correction"):
    """What a person said about a library.

    Attributes:
        correction_id: the caller's, by which a repeated message is recognised.
        by: who; empty: unknown.
        at: seconds since 1970.
    """

    correction_id: str
    change: Change
    by: str = ""
    at: float = 0.0


class Joined(msgspec.Struct, frozen=True, kw_only=True, tag="joined"):
    """Two people were merged without being asked for, since later evidence says that they are one.

    Attributes:
        probability: that they are one person.
        similarity: cosine of the two.
        reason: for people to read.
    """

    person_id: str
    other_id: str
    probability: float
    similarity: float
    reason: str
    at: float = 0.0


class Resolved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="resolved"):
    """The whole library was resolved anew.

    Attributes:
        threshold: least probability of a join that was in force.
        faces: that change their person, in this order, with the face whose person they join; None: they found one.
        doubts: all that are open from now on.
    """

    threshold: float
    faces: tuple[tuple[str, str | None], ...]
    doubts: tuple[Doubt, ...] = ()
    at: float = 0.0


class NewVector(msgspec.Struct, frozen=True, kw_only=True):
    """A face as another model pack sees it; empty when erased."""

    face_id: str
    prototype: bytes
    sureness: float


class Reembedded(msgspec.Struct, frozen=True, kw_only=True, tag="reembedded"):
    """Faces were embedded once more with another model pack, from their pictures, and are compared by that now."""

    pack: str
    faces: tuple[NewVector, ...]
    at: float = 0.0


class Erased(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="erased"):
    """Faces, films and people were erased: their content has left the log, their ids stay.

    Attributes:
        numbers: of the faces, in the order in which they came to the library.
        faces: entry and id of each analysis of theirs.
    """

    numbers: tuple[int, ...] = ()
    faces: tuple[tuple[str, str], ...] = ()
    films: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    by: str = ""
    at: float = 0.0


Entry = FilmEntry | Correction | Joined | Resolved | Reembedded | Erased


_DECODER: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Returns an entry as MessagePack."""
    return msgspec.msgpack.encode(entry)


def decode_entry(encoded: bytes) -> Entry:
    """Reads an entry.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _DECODER.decode(encoded)
