"""The state of a library, and the questions that it answers."""

from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from facecore.library.partition import Partition
from facecore.library.statements import Deed, Statements
from facecore.library.vectors import Vectors
from schemas.divisions import Division
from schemas.library import Correction, Divide, Hide, Joined, KnownAs, Name

MAX_SUGGESTIONS = 1000
"""Suggestions that are listed at once."""


@dataclass(slots=True)
class Node:
    """A face of a film through all analyses of it.

    Attributes:
        film: id of the film.
        seen: entry and id of the face, one per analysis that saw it, the latest last.
        current: the film's latest analysis has it, and it was not erased.
        probability, similarity: of the decision that placed it.
        sureness, detections, known, likeness, division: see `schemas.library.LibraryFace`.
    """

    film: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    current: bool = True
    probability: float = 1.0
    similarity: float | None = None
    sureness: float = 0.0
    detections: int = 0
    known: KnownAs | None = None
    likeness: float = 0.0
    division: str = ""

    @property
    def face_id(self) -> str:
        """Returns the id of the face in the latest analysis that saw it."""
        return self.seen[-1][1]

    def forget(self) -> None:
        """Forgets what was seen, which leaves the log too."""
        self.sureness, self.detections, self.known, self.likeness = 0.0, 0, None, 0.0


@dataclass(slots=True)
class Film:
    """A film: its latest job, and the numbers of the faces of that."""

    job: str
    faces: list[int]


@dataclass(slots=True)
class Changes:
    """Ids of what an entry changed, or took away."""

    people: set[str] = field(default_factory=set)
    faces: set[str] = field(default_factory=set)
    films: set[str] = field(default_factory=set)


class PersonView(NamedTuple):
    """A person: the survivor's id when it was merged, and the current faces and films, in order of arrival.

    Attributes:
        known: whom of a collection the most similar of the faces was matched with.
    """

    person_id: str
    label: str | None
    known: KnownAs | None
    hidden: bool
    faces: tuple[str, ...]
    films: tuple[str, ...]


class FaceView(NamedTuple):
    """A face: its id in the film's latest analysis, whose it is, and how sure the decision was."""

    face_id: str
    person_id: str
    film_id: str
    probability: float
    similarity: float | None


class FilmView(NamedTuple):
    """A film: its latest job, and the faces of that."""

    film_id: str
    job_id: str
    faces: tuple[str, ...]


class Suggestion(NamedTuple):
    """Two people who may be one, with the two faces that the question is about.

    Attributes:
        gain: pairs of faces that are expected to come together with the answer.
    """

    face_id: str
    other_face_id: str
    person_id: str
    other_id: str
    probability: float
    gain: float


class State:
    """The people, faces and films of a library, and what was said about them; `facecore.library.view` changes it."""

    def __init__(self) -> None:
        self.last = "0-0"
        self.partition = Partition()
        self.statements = Statements(self.partition)
        self.vectors = Vectors()
        self.nodes: list[Node] = []
        self.numbers: dict[str, int] = {}  # face id → number of the face
        self.undoable: dict[str, Correction | Joined] = {}  # by entry
        self._films: dict[str, Film] = {}
        self._said: dict[
            str, list[tuple[int, Name | Hide]]
        ] = {}  # of people, with the numbers of the entries
        self._doubts: dict[tuple[int, int], float] = {}
        self._known: dict[str, str] = {}  # correction id → entry
        self._count = 0  # of entries
        self._entries: dict[str, int] = {}  # entry that can be undone → its number
        self._ids: dict[int, str] = {}  # and back
        self._deeds: dict[str, Deed] = {}  # of entries that changed the partition

    def entry(self, number: int) -> str:
        """Returns the id of a correction's or automatic merge's entry."""
        return self._ids[number]

    def known(self, correction_id: str) -> str | None:
        """Returns the entry of a correction that was made already."""
        return self._known.get(correction_id)

    def people(self) -> list[str]:
        """Returns the ids of all people, oldest first."""
        return [root for root in self.partition.roots() if self.listed(root)]

    def listed(self, root: str) -> bool:
        """Tells whether a person has a face or a name, so that it is one for users."""
        return bool(self.current(root) or self.label(root))

    def current(self, root: str) -> list[int]:
        """Returns the numbers of a person's faces in the latest analyses of their films."""
        return [face for face in self.partition.faces(root) if self.nodes[face].current]

    def person(self, name: str) -> PersonView | None:
        """Returns a person; None when there is none of that id, or it was erased."""
        if name not in self.partition or not self.listed(root := self.partition.root(name)):
            return None
        faces = [self.nodes[face] for face in self.current(root)]
        return PersonView(
            root,
            self.label(root),
            max(faces, key=lambda one: one.likeness).known if faces else None,
            self.hidden(root),
            tuple(face.face_id for face in faces),
            tuple(dict.fromkeys(face.film for face in faces)),
        )

    def face(self, face_id: str) -> FaceView | None:
        """Returns a face, also by an id of an earlier analysis of its film; None when it is gone."""
        number = self.numbers.get(face_id)
        if number is None or not (node := self.nodes[number]).current:
            return None
        person = self.partition.person(number)
        return FaceView(node.face_id, person, node.film, node.probability, node.similarity)

    def film(self, film_id: str) -> FilmView | None:
        """Returns a film; None when there is none of that id."""
        if (film := self._films.get(film_id)) is None:
            return None
        return FilmView(film_id, film.job, tuple(self.nodes[face].face_id for face in film.faces))

    def films(self) -> list[str]:
        """Returns the ids of all films, in the order in which they first came."""
        return list(self._films)

    def film_faces(self, film_id: str) -> list[int]:
        """Returns the numbers of the faces of a film's latest analysis."""
        return self._films[film_id].faces if film_id in self._films else []

    def divisions(self, film_id: str) -> tuple[Division, ...]:
        """Returns the divisions of a film that are in force, in the order in which they were made."""
        return tuple(
            Division(division_id=entry_id, spots=done.change.spots)
            for entry_id, done in self.undoable.items()
            if isinstance(done, Correction)
            and isinstance(done.change, Divide)
            and done.change.film_id == film_id
            and done.change.spots  # not those of an erased film
        )

    def refresh(self) -> None:
        """Computes the mean faces of people whose faces have changed, for searches among them."""
        self.vectors.refresh(self._faces_of)

    def label(self, root: str) -> str | None:
        """Returns the name of a person: his own, or of the oldest whom he was merged with."""
        nameless_since = -1
        for person in self.partition.group(root):
            names = [(at, said) for at, said in self._said.get(person, ()) if isinstance(said, Name)]
            if names and names[-1][1].label is not None and names[-1][0] > nameless_since:
                return names[-1][1].label
            if names and person == root:
                nameless_since = names[-1][0]
        return None

    def hidden(self, root: str) -> bool:
        """Tells whether a person is hidden."""
        said = [said.hidden for _, said in self._said.get(root, ()) if isinstance(said, Hide)]
        return bool(said) and said[-1]

    def may_join(self, one: str, other: str) -> bool:
        """Tells whether two people may be merged automatically: nobody said otherwise, and no film shows both."""
        return not self.share_film(one, other) and not self.statements.apart(one, other)

    def share_film(self, one: str, other: str) -> bool:
        """Tells whether a film has a face of each of two people."""
        first, second = ({self.nodes[face].film for face in self.current(person)} for person in (one, other))
        return not first.isdisjoint(second)

    def suggestions(self, limit: int = MAX_SUGGESTIONS) -> list[Suggestion]:
        """Returns the people who may be one, those first whose answer settles most."""
        best: dict[tuple[str, str], tuple[float, int, int]] = {}
        for (face, other), probability in self._doubts.items():
            if not (self.nodes[face].current and self.nodes[other].current):
                continue
            one, two = self.partition.person(face), self.partition.person(other)
            pair = (one, two) if self.partition.age(one) < self.partition.age(two) else (two, one)
            if one != two and (pair not in best or probability > best[pair][0]):
                best[pair] = (probability, face, other)
        sizes = {person: len(self.current(person)) for pair in best for person in pair}
        asked = sorted(
            (-probability * sizes[one] * sizes[two], -probability, face, other, one, two)
            for (one, two), (probability, face, other) in best.items()
        )
        open_ones = (
            Suggestion(self.nodes[face].face_id, self.nodes[other].face_id, one, two, -negative, -gain)
            for gain, negative, face, other, one, two in asked
            if not self.hidden(one) and not self.hidden(two) and not self.statements.apart(one, two)
        )
        return list(islice(open_ones, limit))

    def _faces_of(self, person: str) -> list[int]:
        is_root = person in self.partition and self.partition.root(person) == person
        return self.current(person) if is_root else []

    def state(self) -> bytes:
        """Returns the whole view in a canonical form: equal views give equal bytes."""
        nodes = [
            (
                *(n.film, n.seen, n.current, n.probability, n.similarity),
                *(n.sureness, n.detections, n.known, n.likeness, n.division),
            )
            for n in self.nodes
        ]
        return msgspec.msgpack.encode(
            [
                self.last,
                self.partition.state(),
                self.statements.state(),
                nodes,
                [(name, film.job, film.faces) for name, film in sorted(self._films.items())],
                sorted(self._said.items()),
                sorted(self._doubts.items()),
                sorted(self._known.items()),
                sorted(self.undoable.items(), key=lambda item: self._entries[item[0]]),
            ]
        )
