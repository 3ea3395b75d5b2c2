"""The partition of a library's faces into people, as a history that can be taken back.

A face lies at a home: the person where it was last placed. Links join people. A person as users see it is a group of
linked ones, and goes by the id of the oldest. Homes and links belong to the entry of the log that made them, so that
an entry can be retracted and leaves no trace.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Home(NamedTuple):
    """Where an entry placed a face.

    Attributes:
        entry: number of the entry, in the order of the log.
        by_hand: a correction named this face.
    """

    entry: int
    person: str
    by_hand: bool


class Effect(NamedTuple):
    """What an entry does to the partition: people it founds and links, and faces it places, each at a person."""

    founded: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    homes: tuple[tuple[int, str], ...] = ()
    by_hand: bool = True


@dataclass(slots=True)
class _Person:
    age: int
    faces: set[int] = field(default_factory=set)
    links: list[tuple[int, str]] = field(default_factory=list)


class Partition:
    """The people of faces, which are numbered from 0 in the order in which they came."""

    def __init__(self) -> None:
        self._homes: list[list[Home]] = []
        self._people: dict[str, _Person] = {}
        self._root: dict[str, str] = {}
        self._groups: dict[str, list[str]] = {}  # root → people linked to it and itself, oldest first

    def __contains__(self, person: str) -> bool:
        return person in self._people

    def __len__(self) -> int:
        return len(self._groups)

    def roots(self) -> list[str]:
        """Returns the people as users see them, oldest first."""
        return sorted(self._groups, key=self.age)

    def age(self, person: str) -> int:
        """Returns the number of people who are older."""
        return self._people[person].age

    def root(self, person: str) -> str:
        """Returns the oldest of the people linked to this one."""
        return self._root[person]

    def group(self, root: str) -> list[str]:
        """Returns the people linked to this one and itself, oldest first."""
        return self._groups[root]

    def person(self, face: int) -> str:
        """Returns the person of a face, as users see it."""
        return self._root[self._homes[face][-1].person]

    def faces(self, root: str) -> list[int]:
        """Returns the faces of a person as users see it, in order."""
        return sorted(face for person in self._groups[root] for face in self._people[person].faces)

    def homes(self, face: int) -> set[str]:
        """Returns the people with whom a face has been."""
        return {home.person for home in self._homes[face]}

    def placed_by_hand(self, face: int) -> int:
        """Returns the number of the last correction that placed this face; -1 without one."""
        return next((home.entry for home in reversed(self._homes[face]) if home.by_hand), -1)

    def found(self, person: str) -> None:
        """Adds a person without faces, the youngest so far."""
        self._people[person] = _Person(len(self._people))
        self._root[person] = person
        self._groups[person] = [person]

    def add(self, entry: int, person: str) -> int:
        """Adds a face at a person and returns its number."""
        face = len(self._homes)
        self._homes.append([Home(entry, person, False)])
        self._people[person].faces.add(face)
        return face

    def enact(self, entry: int, effect: Effect) -> None:
        """Does what an entry says; people whom it founded are there already when it was retracted."""
        for person in effect.founded:
            if person not in self._people:
                self.found(person)
        for face, person in effect.homes:
            self._leave(face)
            insort(self._homes[face], Home(entry, person, effect.by_hand))
            self._arrive(face)
        for one, other in effect.links:
            self._people[one].links.append((entry, other))
            self._people[other].links.append((entry, one))
            self._regroup((one, other))

    def retract(self, entry: int, effect: Effect) -> None:
        """Takes back what `enact` did for this entry, but for the people whom it founded: others may be with them."""
        for one, other in effect.links:
            self._people[one].links.remove((entry, other))
            self._people[other].links.remove((entry, one))
            self._regroup((one, other))
        for face, _ in effect.homes:
            self._leave(face)
            self._homes[face] = [home for home in self._homes[face] if home.entry != entry]
            self._arrive(face)

    def forget(self, person: str) -> None:
        """Removes the youngest person, who has neither faces nor links."""
        del self._people[person], self._root[person], self._groups[person]

    def state(self) -> list[object]:
        """Returns plain values from which the partition follows."""
        return [
            [[name, sorted(person.links)] for name, person in self._people.items()],
            [[tuple(home) for home in homes] for homes in self._homes],
        ]

    def _leave(self, face: int) -> None:
        self._people[self._homes[face][-1].person].faces.discard(face)

    def _arrive(self, face: int) -> None:
        self._people[self._homes[face][-1].person].faces.add(face)

    def _regroup(self, people: Iterable[str]) -> None:
        """Finds the groups of these people anew."""
        for person in people:
            group = sorted(self._connected(person), key=self.age)
            for member in group:
                self._groups.pop(member, None)
            for member in group:
                self._root[member] = group[0]
            self._groups[group[0]] = group

    def _connected(self, start: str) -> Iterator[str]:
        seen, stack = {start}, [start]
        while stack:
            person = stack.pop()
            yield person
            new = {other for _, other in self._people[person].links} - seen
            seen |= new
            stack += new
