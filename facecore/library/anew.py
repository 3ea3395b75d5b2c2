"""Resolves a whole library anew, with other thresholds or after many corrections, whatever its history.

Faces that people hold together are taken as one, in the order in which they came. Each joins the most probable
person that nothing holds it apart from, else it founds one; people who are alike are merged at the end. Each new
person keeps the id of the old one that most of its faces come from, named people first. The work grows with the
number of faces times that of people.
"""

from collections import Counter
from collections.abc import Iterator

from facecore.library.resolve import CANDIDATES, DEFAULTS, DOUBTS, Candidate, Thresholds, near_means
from facecore.library.state import State
from schemas.library import Doubt, Resolved


def resolve_anew(view: State, thresholds: Thresholds = DEFAULTS, *, at: float = 0.0) -> Resolved:
    """Returns the entry that gives every face the person that the thresholds ask for; the view stays as it is."""
    groups = _Groups(view)
    for face, node in enumerate(view.nodes):
        if node.current and not groups.has(face):
            held = view.statements.together(face)
            best = next(groups.near(groups.found(held), thresholds.join), None)
            if best is not None:
                groups.merge(best.person_id, groups.of(face))
    waiting = groups.names()
    while waiting:
        merged = set[str]()
        for name in waiting:
            other = next(groups.near(name, thresholds.merge), None) if groups.exists(name) else None
            if other is not None:
                groups.merge(other.person_id, name)
                merged.add(other.person_id)
        waiting = [name for name in sorted(merged, key=int) if groups.exists(name)]
    for face, node in enumerate(view.nodes):
        if not node.current and not groups.has(face):
            groups.follow(face)
    return Resolved(
        threshold=thresholds.join, faces=tuple(groups.moves()), doubts=tuple(groups.doubts(thresholds)), at=at
    )


class _Groups:
    """Faces grouped anew; a group's name is its number."""

    def __init__(self, view: State) -> None:
        self._view = view
        self._vectors = view.vectors.regrouped()
        self._faces: dict[str, list[int]] = {}
        self._films: dict[str, set[str]] = {}
        self._of: dict[int, str] = {}
        self._count = 0

    def has(self, face: int) -> bool:
        return face in self._of

    def of(self, face: int) -> str:
        return self._of[face]

    def exists(self, name: str) -> bool:
        return name in self._faces

    def names(self) -> list[str]:
        return list(self._faces)

    def found(self, faces: list[int]) -> str:
        """Makes a group of these faces."""
        name, self._count = str(self._count), self._count + 1
        self._put(name, faces)
        return name

    def merge(self, name: str, other: str) -> None:
        """Adds the faces of another group to one."""
        faces = self._faces.pop(other)
        del self._films[other]
        self._vectors.touch(other)
        self._put(name, self._faces[name] + faces)

    def follow(self, face: int) -> None:
        """Puts a face that its film has no more with those of its person, unless something holds them apart."""
        name = self.found(self._view.statements.together(face))
        old = self._view.partition.faces(self._view.partition.person(face))
        group = next((self._of[other] for other in old if self._view.nodes[other].current), None)
        if group and self._view.statements.rivals(self._faces[name]).isdisjoint(self._faces[group]):
            self.merge(group, name)

    def near(self, name: str, least: float) -> Iterator[Candidate]:
        """Yields the groups that may be the same person and are at least so probably, the most probable first."""
        self._vectors.refresh(self._members)
        found = [
            other
            for pack, mean in self._vectors.means(self._members(name)).items()
            for other in near_means(self._vectors, [mean], pack, CANDIDATES + 1)[0]
            if other.probability >= least and other.person_id != name
        ]
        rivals = self._view.statements.rivals(self._faces[name])
        for other in sorted(found, key=lambda one: (-one.probability, int(one.person_id))):
            films = self._films[other.person_id]
            if films.isdisjoint(self._films[name]) and rivals.isdisjoint(self._faces[other.person_id]):
                yield other

    def moves(self) -> Iterator[tuple[str, str | None]]:
        """Yields the faces that leave their person, with the face whose person they join; None: they found one."""
        keeps = self._kept()
        for name, faces in self._faces.items():
            old = {face: self._view.partition.person(face) for face in faces}
            anchor = next((self._id(face) for face in faces if old[face] == keeps.get(name)), None)
            for face in faces:
                if old[face] != keeps.get(name):
                    yield self._id(face), anchor
                    anchor = anchor or self._id(face)

    def doubts(self, thresholds: Thresholds) -> Iterator[Doubt]:
        """Yields the questions that remain."""
        for name in self._faces:
            for number, other in enumerate(self.near(name, thresholds.doubt)):
                if number < DOUBTS and int(other.person_id) < int(name):
                    one, two = self._members(name)[0], self._members(other.person_id)[0]
                    yield Doubt(
                        face_id=self._id(one),
                        other_face_id=self._id(two),
                        probability=round(other.probability, 6),
                    )

    def _put(self, name: str, faces: list[int]) -> None:
        self._faces[name] = sorted(faces)
        self._films[name] = {self._view.nodes[face].film for face in faces if self._view.nodes[face].current}
        self._of.update(dict.fromkeys(faces, name))
        self._vectors.touch(name)

    def _members(self, name: str) -> list[int]:
        return [face for face in self._faces.get(name, ()) if self._view.nodes[face].current]

    def _id(self, face: int) -> str:
        return self._view.nodes[face].face_id

    def _kept(self) -> dict[str, str]:
        """Returns by group the person whose id it keeps."""
        shares = [
            (self._view.label(person) is None, -count, self._view.partition.age(person), int(name), person)
            for name, faces in self._faces.items()
            for person, count in Counter(map(self._view.partition.person, faces)).items()
        ]
        kept: dict[str, str] = {}
        taken = set[str]()
        for _, _, _, number, person in sorted(shares):
            if str(number) not in kept and person not in taken:
                kept[str(number)] = person
                taken.add(person)
        return kept
