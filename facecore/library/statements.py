"""What people said about faces: that some are one person, that others are different people.

A statement is about two sets of faces. It outlives everything but a later correction: a face that a later one places
by name is no longer meant by the earlier ones, unless nothing would be left of them. Then the two contradict each
other, and so do two of which one joins what the other holds apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from facecore.library.partition import Effect, Partition


class Statement(NamedTuple):
    """What a correction says of two sets of faces.

    Attributes:
        entry: number of the entry, in the order of the log.
        same: all of them are one person; otherwise each of the one is a different person from each of the other.
        lasting: corrections may not contradict it; otherwise it binds automatic decisions alone.
    """

    entry: int
    same: bool
    one: tuple[int, ...]
    other: tuple[int, ...]
    lasting: bool = True


class Deed(NamedTuple):
    """What an entry does, so that it can be undone: to the partition, and what it says of faces."""

    effect: Effect
    statements: tuple[Statement, ...] = ()


class Statements:
    """The statements in force, by the faces they are about."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._by_entry: dict[int, tuple[Statement, ...]] = {}
        self._by_face: defaultdict[int, set[int]] = defaultdict(set)

    def add(self, entry: int, statements: tuple[Statement, ...]) -> None:
        """Puts the statements of an entry in force."""
        if statements:
            self._by_entry[entry] = statements
        for face in _faces(statements):
            self._by_face[face].add(entry)

    def remove(self, entry: int) -> tuple[Statement, ...]:
        """Takes the statements of an entry out of force and returns them."""
        statements = self._by_entry.pop(entry, ())
        for face in _faces(statements):
            self._by_face[face].discard(entry)
            if not self._by_face[face]:
                del self._by_face[face]
        return statements

    def about(self, faces: Iterable[int]) -> Iterator[Statement]:
        """Yields the statements about any of these faces, earliest first."""
        entries = {entry for face in faces if face in self._by_face for entry in self._by_face[face]}
        for entry in sorted(entries):
            yield from self._by_entry[entry]

    def contradicted(self, faces: Iterable[int]) -> list[int]:
        """Returns the entries whose lasting statements about these faces do not hold of the people as they are."""
        return list(dict.fromkeys(s.entry for s in self.about(faces) if s.lasting and not self._holds(s)))

    def apart(self, one: str, other: str) -> bool:
        """Tells whether a statement holds two people apart."""
        first, second = self._partition.faces(one), self._partition.faces(other)
        for statement in self.about(first if len(first) < len(second) else second):
            if not statement.same:
                people = [self._people(statement.entry, side) for side in (statement.one, statement.other)]
                if (one in people[0] and other in people[1]) or (other in people[0] and one in people[1]):
                    return True
        return False

    def joining(self, one: Iterable[int], other: Iterable[int]) -> list[int]:
        """Returns the entries that say of a face of the one and a face of the other that they are one person."""
        found = []
        for statement in self.about(one):
            meant = set(self._meant(statement.entry, (*statement.one, *statement.other)))
            if statement.same and meant.intersection(one) and meant.intersection(other):
                found.append(statement.entry)
        return list(dict.fromkeys(found))

    def together(self, face: int) -> list[int]:
        """Returns the faces that statements hold together with a face, itself among them, in order."""
        seen, stack = {face}, [face]
        while stack:
            current = stack.pop()
            for statement in self.about([current]):
                meant = self._meant(statement.entry, (*statement.one, *statement.other))
                if statement.same and current in meant:
                    stack += [other for other in meant if other not in seen]
                    seen.update(meant)
        return sorted(seen)

    def rivals(self, faces: Iterable[int]) -> set[int]:
        """Returns the faces that statements hold apart from any of these."""
        found: set[int] = set()
        mine = set(faces)
        for statement in self.about(mine):
            if not statement.same:
                one, other = (
                    set(self._meant(statement.entry, side)) for side in (statement.one, statement.other)
                )
                found |= other if mine & one else set()
                found |= one if mine & other else set()
        return found

    def state(self) -> list[object]:
        """Returns plain values from which the statements follow."""
        return [tuple(s) for _, statements in sorted(self._by_entry.items()) for s in statements]

    def _holds(self, statement: Statement) -> bool:
        one, other = (self._meant(statement.entry, side) for side in (statement.one, statement.other))
        if not one or not other or len({*one, *other}) < 2:
            return False  # nothing is left of it
        people = [{self._partition.person(face) for face in side} for side in (one, other)]
        return len(people[0] | people[1]) == 1 if statement.same else not people[0] & people[1]

    def _meant(self, entry: int, faces: Iterable[int]) -> list[int]:
        """Returns those faces that no later correction placed by name."""
        return [face for face in faces if self._partition.placed_by_hand(face) <= entry]

    def _people(self, entry: int, faces: Iterable[int]) -> set[str]:
        return {self._partition.person(face) for face in self._meant(entry, faces)}


def _faces(statements: Iterable[Statement]) -> set[int]:
    return {face for s in statements for face in (*s.one, *s.other)}
