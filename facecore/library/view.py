"""The people of a library as its log gives them: entries go in, one after the other, and questions are answered.

The same log gives the same view, byte for byte (`State.state`), on any machine: an entry holds what it decides, and
nothing here depends on arithmetic with fractions.
"""

import unicodedata
from collections.abc import Iterable

from facecore.library.corrections import Refused, contradiction, deed
from facecore.library.erasure import rewritten
from facecore.library.evidence import calibration, views
from facecore.library.partition import Effect
from facecore.library.state import Changes, Film, Node, State
from facecore.library.statements import Deed, Statement
from schemas.library import (
    Change,
    Correction,
    Divide,
    Doubt,
    Entry,
    Erased,
    FilmEntry,
    Hide,
    Joined,
    Name,
    Reembedded,
    Resolved,
    Undo,
    people_of,
    person_id,
)

NO_ENTRY = "0-0"
"""Stands for the entry of a correction that is not in the log yet."""


class View(State):
    """A library, built from its log."""

    def apply(self, entry_id: str, entry: Entry) -> Changes:
        """Puts the next entry of the log in force, and returns what it changed.

        Raises:
            ValueError: the id is not greater than that of the entry before.
        """
        if _place(entry_id) <= _place(self.last):
            raise ValueError(f"The entry {entry_id} cannot come after {self.last}.")
        self.last = entry_id
        number, self._count = self._count, self._count + 1
        match entry:
            case FilmEntry():
                return self._film(number, entry_id, entry)
            case Correction():
                self._known[entry.correction_id] = entry_id
                return self._correct(number, entry_id, entry)
            case Joined():
                pair = self.partition.root(entry.person_id), self.partition.root(entry.other_id)
                self._remember(number, entry_id, entry)
                return self._do(number, entry_id, Deed(Effect(links=(pair,), by_hand=False)))
            case Resolved():
                return self._resolve(number, entry_id, entry)
            case Reembedded():
                return self._reembed(entry)
            case Erased():
                return self._erase(entry)

    def check(self, change: Change) -> None:
        """Tells whether a correction can be made now; nothing changes.

        Raises:
            Refused: it cannot.
        """
        match change:
            case Name() | Hide():
                self._require(change.person_id)
                if isinstance(change, Name) and not _is_seen(change.label):
                    raise Refused("The name has no character that can be seen.")
            case Undo():
                self._check_undo(change)
            case Divide():
                if change.film_id not in self._films:
                    raise Refused(f"There is no film {change.film_id} in this library.")
                if not change.spots:
                    raise Refused("A division must name at least one place.")
            case _:
                for subject in people_of(change):
                    self._require(subject)
                doing = deed(self, self._count, NO_ENTRY, change)
                self._enact(self._count, doing)
                wrong = self.statements.contradicted(self._touched(doing))
                self._retract(self._count, doing)
                for person in doing.effect.founded:
                    self.partition.forget(person)
                if earlier := [self._ids[number] for number in wrong if number != self._count]:
                    raise contradiction(self, change, earlier)

    def _require(self, person: str) -> None:
        if self.person(person) is None:
            raise Refused(f"There is no person {person} in this library.")

    def _check_undo(self, change: Undo) -> None:
        if change.entry_id not in self.undoable:
            raise Refused(
                f"The entry {change.entry_id} is no correction or automatic merge that is in force."
            )
        if (done := self._deeds.get(change.entry_id)) is None:
            return
        number = self._entries[change.entry_id]
        self._retract(number, done)
        wrong = self.statements.contradicted(self._touched(done))
        self._enact(number, done)
        if wrong:
            raise contradiction(self, change, [self._ids[other] for other in wrong])

    def _film(self, number: int, entry_id: str, entry: FilmEntry) -> Changes:
        before = self._films.get(entry.film_id)
        continued = [self.numbers[p.continues] if p.continues else None for p in entry.placements]
        gone = set(before.faces if before else ()) - set(continued)
        changed = Changes(films={entry.film_id})
        for face in gone:
            self._leave(face, changed)
            self.nodes[face].forget()
        faces = []
        for position, (seen, placed, old) in enumerate(
            zip(entry.faces, entry.placements, continued, strict=True)
        ):
            if old is None:
                if (person := placed.person_id) is None:
                    self.partition.found(person := person_id(entry_id, position))
                face = self.partition.add(number, self.partition.root(person))
                self.nodes.append(Node(entry.film_id, []))
            else:
                face = old
                changed.faces.add(self.nodes[face].face_id)  # the earlier id gives way
            node = self.nodes[face]
            node.seen.append((entry_id, seen.face_id))
            node.current, node.probability, node.similarity = True, placed.probability, placed.similarity
            node.sureness, node.detections = seen.sureness, seen.detections
            node.known, node.likeness, node.division = seen.known, seen.likeness, seen.division
            self.numbers[seen.face_id] = face
            worth = views(seen.detections, seen.spread, calibration(entry.pack))
            self.vectors.put(face, entry.pack, seen.prototype, worth, seen.sureness)
            faces.append(face)
            self._touch([face], changed)
        self._films[entry.film_id] = Film(entry.job_id, faces)
        self._doubt(entry.doubts)
        return changed

    def _correct(self, number: int, entry_id: str, entry: Correction) -> Changes:
        change, changed = entry.change, Changes()
        match change:
            case Name() | Hide():
                root = self.partition.root(change.person_id)
                self._said.setdefault(root, []).append((number, change))
                self._touch_person(root, changed)
            case Undo():
                return self._undo(number, change.entry_id)
            case Divide():
                pass  # the next analysis of the film follows it
            case _:
                changed = self._do(number, entry_id, deed(self, number, entry_id, change))
        self._remember(number, entry_id, entry)
        return changed

    def _undo(self, number: int, entry_id: str) -> Changes:
        undone, at = self.undoable.pop(entry_id), self._entries.pop(entry_id)
        del self._ids[at]
        changed = Changes()
        if (done := self._deeds.pop(entry_id, None)) is None:
            for person, said in self._said.items():
                if any(entry == at for entry, _ in said):
                    said[:] = [one for one in said if one[0] != at]
                    self._touch_person(person, changed)
            return changed
        self._note(done, changed)
        self._retract(at, done)
        self._note(done, changed)
        if isinstance(undone, Joined):
            sides = [tuple(self.partition.faces(self.partition.root(p))) for p in done.effect.links[0]]
            if sides[0] != sides[1]:
                self.statements.add(number, (Statement(number, False, sides[0], sides[1], lasting=False),))
        return changed

    def _resolve(self, number: int, entry_id: str, entry: Resolved) -> Changes:
        changed = Changes()
        for position, (face_id, anchor) in enumerate(entry.faces):
            face = self.numbers[face_id]
            new = person_id(entry_id, position)
            to = new if anchor is None else self.partition.person(self.numbers[anchor])
            self._touch([face], changed)
            self.partition.enact(
                number, Effect(founded=() if anchor else (new,), homes=((face, to),), by_hand=False)
            )
            self._touch([face], changed)
        self._doubts.clear()
        self._doubt(entry.doubts)
        return changed

    def _reembed(self, entry: Reembedded) -> Changes:
        changed = Changes()
        for seen in entry.faces:
            face = self.numbers[seen.face_id]
            if self.nodes[face].current:
                self.vectors.put(face, entry.pack, seen.prototype, 1.0, seen.sureness)
                self._touch([face], changed)
        return changed

    def _erase(self, entry: Erased) -> Changes:
        changed = Changes(people=set(entry.people), films=set(entry.films))
        erased = set(entry.numbers)
        for face in entry.numbers:
            self._leave(face, changed)
            node = self.nodes[face]
            node.forget()
            node.probability, node.similarity = 1.0, None
            if film := self._films.get(node.film):
                film.faces = [other for other in film.faces if other not in erased]
                changed.films.add(node.film)
        for name in entry.films:
            self._films.pop(name, None)
        for person in entry.people:
            self._said.pop(person, None)
        self._doubts = {pair: p for pair, p in self._doubts.items() if not erased & set(pair)}
        self.undoable = {name: rewritten(name, done, entry) for name, done in self.undoable.items()}
        return changed

    def _do(self, number: int, entry_id: str, doing: Deed) -> Changes:
        changed = Changes()
        self._note(doing, changed)
        self._enact(number, doing)
        self._note(doing, changed)
        self._deeds[entry_id] = doing
        return changed

    def _remember(self, number: int, entry_id: str, entry: Correction | Joined) -> None:
        self.undoable[entry_id] = entry
        self._entries[entry_id], self._ids[number] = number, entry_id

    def _enact(self, number: int, doing: Deed) -> None:
        self.partition.enact(number, doing.effect)
        self.statements.add(number, doing.statements)

    def _retract(self, number: int, done: Deed) -> None:
        self.partition.retract(number, done.effect)
        self.statements.remove(number)

    def _touched(self, done: Deed) -> set[int]:
        """Returns the faces whose people an effect changes, before or after it."""
        linked = {person for link in done.effect.links for person in link}
        faces = {face for person in linked for face in self.partition.faces(self.partition.root(person))}
        return faces | {face for face, _ in done.effect.homes}

    def _note(self, done: Deed, changed: Changes) -> None:
        """Notes what an effect changes, before or after it, people without faces among them."""
        self._touch(self._touched(done), changed)
        for person in (person for link in done.effect.links for person in link):
            changed.people.update(self.partition.group(self.partition.root(person)))

    def _touch(self, faces: Iterable[int], changed: Changes) -> None:
        """Notes the people of these faces, and the faces, as changed."""
        for face in faces:
            person = self.partition.person(face)
            changed.people.update(self.partition.group(person))
            self.vectors.touch(person)
            if self.nodes[face].seen:
                changed.faces.add(self.nodes[face].face_id)

    def _touch_person(self, person: str, changed: Changes) -> None:
        root = self.partition.root(person)
        changed.people.update(self.partition.group(root))
        changed.faces.update(self.nodes[face].face_id for face in self.current(root))

    def _leave(self, face: int, changed: Changes) -> None:
        """Takes a face out of its film's latest analysis."""
        self._touch([face], changed)
        self.nodes[face].current = False
        self.vectors.drop(face)

    def _doubt(self, doubts: Iterable[Doubt]) -> None:
        for doubt in doubts:
            pair = sorted((self.numbers[doubt.face_id], self.numbers[doubt.other_face_id]))
            self._doubts[pair[0], pair[1]] = doubt.probability


def _is_seen(label: str | None) -> bool:
    return label is None or any(unicodedata.category(character)[0] not in "CZ" for character in label)


def _place(entry_id: str) -> tuple[int, int]:
    """Returns the place of an entry in the log, to compare."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
