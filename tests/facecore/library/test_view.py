"""What people said of a library holds, whatever comes after; the log gives the same library, byte for byte."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from facecore.library.anew import resolve_anew
from facecore.library.corrections import Refused
from facecore.library.erasure import erase_film, erase_person, rewritten
from facecore.library.resolve import Thresholds
from facecore.library.view import View
from schemas.library import (
    Change,
    Correction,
    Differ,
    Doubt,
    Entry,
    Erased,
    FilmEntry,
    Hide,
    Joined,
    KnownAs,
    LibraryFace,
    Merge,
    Move,
    Name,
    NewVector,
    Placement,
    Reembedded,
    Same,
    Split,
    Undo,
    decode_entry,
    encode_entry,
)

number = st.integers(0, 1_000_000)


def face(face_id: str, value: float) -> LibraryFace:
    vector = np.full(512, value, "<f4").tobytes()
    known = KnownAs(collection="cast", person_id=f"person-of-{face_id}") if value > 1 else None
    return LibraryFace(
        face_id=face_id, prototype=vector, sureness=value, detections=2, known=known, likeness=value / 10
    )


def film(name: str, job: str, *placements: Placement) -> FilmEntry:
    faces = tuple(face(f"{job}/face_{i}", i + 0.5) for i in range(len(placements)))
    return FilmEntry(
        film_id=name, job_id=job, source=f"/{name}", pack="open", faces=faces, placements=placements
    )


class Library:
    """A view beside its log, as the service keeps them."""

    def __init__(self) -> None:
        self.log: dict[str, bytes] = {}
        self.view = View()

    def append(self, entry: Entry) -> str:
        entry_id = f"{len(self.log) + 1}-0"
        gone = entry if isinstance(entry, Erased) else self.replaced(entry)
        self.log = {
            name: encode_entry(rewritten(name, decode_entry(old), gone)) for name, old in self.log.items()
        }
        self.log[entry_id] = encode_entry(entry)
        before, changes = self.seen(), self.view.apply(entry_id, entry)
        after = self.seen()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert changed <= changes.people | changes.faces | changes.films, "readers learn of every change"
        return entry_id

    def replaced(self, entry: Entry) -> Erased:
        """The faces of the earlier analyses of a film."""
        earlier = ((name, decode_entry(old)) for name, old in self.log.items())
        return Erased(
            faces=tuple(
                (name, face.face_id)
                for name, old in earlier
                if isinstance(entry, FilmEntry)
                and isinstance(old, FilmEntry)
                and old.film_id == entry.film_id
                for face in old.faces
            )
        )

    def seen(self) -> dict[str, object]:
        """What readers see of each person, face and film, by its id."""
        names = [name for name, _ in self.view.partition.state()[0]]
        views = {name: self.view.person(name) for name in names}
        people = {
            name: one if one is None or one.person_id == name else one.person_id
            for name, one in views.items()
        }
        faces = {
            name: face
            for name in self.view.numbers
            if (face := self.view.face(name)) and face.face_id == name
        }
        return people | faces | {name: self.view.film(name) for name in self.view.films()}

    def correct(self, change: Change, by: str = "") -> str:
        before = self.view.state()
        try:
            self.view.check(change)
        finally:
            assert self.view.state() == before, "a check changes nothing"
        return self.append(Correction(correction_id=f"c{len(self.log)}", change=change, by=by))

    def rebuilt(self) -> View:
        view = View()
        for name, entry in self.log.items():
            view.apply(name, decode_entry(entry))
        return view


class Machine(RuleBasedStateMachine):
    """Films and corrections in any order. What holds is written down here once more, by faces and entries alone."""

    def __init__(self) -> None:
        super().__init__()
        self.library = Library()
        self.view = self.library.view
        self.said: dict[str, list[tuple[bool, set[int], set[int]]]] = {}
        self.placed: dict[str, set[int]] = {}  # entry → faces that it places by name
        self.erased: list[bytes] = []
        self.jobs = 0

    def pick(self, values: list, n: int):
        return values[n % len(values)]

    def faces_of(self, person: str) -> set[int]:
        return set(self.view.partition.faces(self.view.partition.root(person)))

    def a_face(self, n: int) -> str:
        return self.pick([node.face_id for node in self.view.nodes if node.current], n)

    def has_faces(self) -> bool:
        return any(node.current for node in self.view.nodes)

    @rule(name=st.sampled_from("abcde"), picks=st.lists(number, min_size=1, max_size=4))
    def film_comes(self, name: str, picks: list[int]) -> None:
        self.jobs += 1
        old = list(self.view.film(name).faces) if self.view.film(name) else []
        taken = {self.view.face(seen).person_id for seen in old}
        placements = []
        for pick in picks:
            free = [person for person in self.view.people() if person not in taken]
            if old and pick % 3 == 0:
                placements.append(Placement(continues=old.pop()))
            elif free and pick % 3 == 1:
                placements.append(Placement(person_id=self.pick(free, pick // 3)))
                taken.add(placements[-1].person_id)
            else:
                placements.append(Placement())
        entry = film(name, f"job{self.jobs}", *placements)
        vectors = [face(f.face_id, self.jobs + i / 8) for i, f in enumerate(entry.faces)]
        known = [node.face_id for node in self.view.nodes if node.current and node.film != name]
        doubts = [Doubt(face_id=vectors[0].face_id, other_face_id=f, probability=0.5) for f in known[:2]]
        self.library.append(
            FilmEntry(
                film_id=name,
                job_id=entry.job_id,
                source=f"/source/{entry.job_id}.",
                pack="open",
                faces=tuple(vectors),
                placements=entry.placements,
                doubts=tuple(doubts),
            )
        )

    def correct(self, change: Change) -> str | None:
        try:
            return self.library.correct(change)
        except Refused:
            return None

    @precondition(has_faces)
    @rule(one=number, other=number, by_face=st.booleans())
    def join(self, one: int, other: int, by_face: bool) -> None:
        if by_face:
            a, b = self.a_face(one), self.a_face(other)
            sides = {self.view.numbers[a]}, {self.view.numbers[b]}
            change = Same(face_id=a, other_face_id=b)
        else:
            a, b = self.pick(self.view.people(), one), self.pick(self.view.people(), other)
            sides = self.faces_of(a), self.faces_of(b)
            change = Merge(person_id=a, other_id=b)
        if entry := self.correct(change):
            self.said[entry] = [(True, *sides)]

    @precondition(has_faces)
    @rule(one=number, other=number, by_face=st.booleans())
    def differ(self, one: int, other: int, by_face: bool) -> None:
        a = self.a_face(one) if by_face else self.pick(self.view.people(), one)
        b = self.pick(self.view.people(), other)
        sides = ({self.view.numbers[a]} if by_face else self.faces_of(a)), self.faces_of(b)
        if entry := self.correct(Differ(one=a, other=b)):
            self.said[entry] = [(False, *sides)]

    @precondition(has_faces)
    @rule(pick=number, more=st.booleans())
    def split(self, pick: int, more: bool) -> None:
        face_id = self.a_face(pick)
        person = self.view.face(face_id).person_id
        leaving = {face_id, *(self.view.person(person).faces[:2] if more else ())}
        faces = {self.view.numbers[name] for name in leaving}
        staying = self.faces_of(person) - faces
        if entry := self.correct(Split(person_id=person, faces=tuple(leaving))):
            self.said[entry], self.placed[entry] = [(True, faces, faces), (False, faces, staying)], faces

    @precondition(has_faces)
    @rule(pick=number, to=number)
    def move(self, pick: int, to: int) -> None:
        face_id, person = self.a_face(pick), self.pick(self.view.people(), to)
        here, there = {self.view.numbers[face_id]}, self.faces_of(person)
        left = self.faces_of(self.view.face(face_id).person_id) - here
        if entry := self.correct(Move(face_id=face_id, person_id=person)):
            self.said[entry], self.placed[entry] = [(True, here, there), (False, here, left)], here

    @precondition(has_faces)
    @rule(pick=number, hide=st.booleans())
    def describe(self, pick: int, hide: bool) -> None:
        person = self.pick(self.view.people(), pick)
        label = f"label{len(self.library.log)}"
        self.correct(Hide(person_id=person) if hide else Name(person_id=person, label=label))

    @precondition(lambda self: self.view.undoable)
    @rule(pick=number)
    def undo(self, pick: int) -> None:
        entry = self.pick(list(self.view.undoable), pick)
        if self.correct(Undo(entry_id=entry)):
            self.said.pop(entry, None)
            self.placed.pop(entry, None)

    @precondition(has_faces)
    @rule(one=number, other=number)
    def later_merge(self, one: int, other: int) -> None:
        a, b = self.pick(self.view.people(), one), self.pick(self.view.people(), other)
        if a != b and self.view.may_join(a, b):
            self.library.append(
                Joined(person_id=a, other_id=b, probability=1.0, similarity=0.9, reason="near")
            )

    @precondition(has_faces)
    @rule(join=st.sampled_from((0.5, 2.0)))
    def resolve_anew(self, join: float) -> None:
        """All faces here are alike: with the lower threshold whatever may be one person becomes one."""
        self.library.append(resolve_anew(self.view, Thresholds(join=join, merge=join)))

    @precondition(has_faces)
    @rule(pick=number)
    def embed_again(self, pick: int) -> None:
        vector = np.full(512, -1.0 - len(self.library.log), "<f4").tobytes()
        seen = NewVector(face_id=self.a_face(pick), prototype=vector, sureness=2.0)
        self.library.append(Reembedded(pack="another", faces=(seen,)))

    @precondition(has_faces)
    @rule(pick=number, person=st.booleans())
    def erase(self, pick: int, person: bool) -> None:
        node = self.view.nodes[self.view.numbers[self.a_face(pick)]]
        whose = self.view.face(node.face_id).person_id
        entry = erase_person(self.view, whose) if person else erase_film(self.view, node.film)
        for name, encoded in self.library.log.items():
            old = decode_entry(encoded)
            if isinstance(old, FilmEntry):
                self.erased += [
                    f.prototype for f in old.faces if (name, f.face_id) in entry.faces and f.prototype
                ]
                self.erased += [old.source.encode()] if old.film_id in entry.films and old.source else []
            if isinstance(old, Reembedded):
                erased = {face for _, face in entry.faces}
                self.erased += [f.prototype for f in old.faces if f.face_id in erased and f.prototype]
        if entry.people and (label := self.view.label(entry.people[0])):
            self.erased.append(label.encode() + b'"')
        self.library.append(entry)

    def meant(self, entry: str, faces: set[int]) -> set[int]:
        """Those of these faces that no later correction places by name."""
        order = list(self.library.log)
        later = (self.placed[name] for name in self.placed if order.index(name) > order.index(entry))
        return faces.difference(*later)

    @invariant()
    def nothing_that_was_said_is_broken(self) -> None:
        whose = self.view.partition.person
        for entry, statements in self.said.items():
            for same, one, other in statements:
                one, other = self.meant(entry, one), self.meant(entry, other)
                people = {whose(f) for f in one}, {whose(f) for f in other}
                if same:
                    assert len(people[0] | people[1]) <= 1
                else:
                    assert not people[0] & people[1]

    @invariant()
    def every_face_has_one_person(self) -> None:
        listed = [face for person in self.view.people() for face in self.view.person(person).faces]
        assert sorted(listed) == sorted(node.face_id for node in self.view.nodes if node.current)
        assert all(s.person_id != s.other_id for s in self.view.suggestions())

    @invariant()
    def searches_find_every_person(self) -> None:
        self.view.refresh()
        for pack in ("open", "another"):
            of_pack = [self.view.vectors.pack(face) == pack for face in range(len(self.view.nodes))]
            people = {self.view.partition.person(face) for face, has in enumerate(of_pack) if has}
            assert self.view.vectors.people(pack) == len(people)

    def teardown(self) -> None:
        rebuilt = self.library.rebuilt()
        assert rebuilt.state() == self.view.state()
        log = b"".join(self.library.log.values()) + rebuilt.state()
        assert not [content for content in self.erased if content in log]


TestLibrary = Machine.TestCase
TestLibrary.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_two_that_are_held_apart_are_not_merged_and_the_refusal_names_both_corrections() -> None:
    library = Library()
    library.append(film("a", "j1", Placement(), Placement()))
    one, other = library.view.people()
    held = library.correct(Differ(one=one, other=other), by="anna")
    with pytest.raises(
        Refused, match=rf"merge {one} and {other} contradicts: hold .* apart, by anna .entry {held}"
    ) as e:
        library.correct(Merge(person_id=one, other_id=other))
    assert e.value.entries == (held,)
    library.correct(Undo(entry_id=held))
    library.correct(Merge(person_id=other, other_id=one))
    assert library.view.person(other).person_id == one  # the older one's id stays


def test_an_analysis_that_replaces_an_earlier_one_keeps_names_and_corrections() -> None:
    library = Library()
    library.append(film("a", "j1", Placement(), Placement()))
    one, other = library.view.people()
    library.correct(Name(person_id=one, label="Anna"))
    library.correct(Differ(one=one, other=other))
    library.append(
        film("a", "j2", Placement(continues="j1/face_1"), Placement(continues="j1/face_0"), Placement())
    )
    assert library.view.person(one).faces == ("j2/face_1",)
    assert library.view.face("j1/face_0").face_id == "j2/face_1"  # pages of the old job still find it
    assert len(library.view.people()) == 3
    with pytest.raises(Refused, match="apart"):
        library.correct(Same(face_id="j2/face_0", other_face_id="j2/face_1"))


def test_an_automatic_merge_that_was_undone_is_not_repeated_but_people_may_merge() -> None:
    library = Library()
    library.append(film("a", "j1", Placement()))
    library.append(film("b", "j2", Placement()))
    one, other = library.view.people()
    joined = library.append(Joined(person_id=one, other_id=other, probability=1.0, similarity=0.9, reason=""))
    assert library.view.people() == [one]
    library.correct(Undo(entry_id=joined))
    assert library.view.people() == [one, other]
    assert not library.view.may_join(one, other)
    library.correct(Merge(person_id=one, other_id=other))
    assert library.view.people() == [one]
