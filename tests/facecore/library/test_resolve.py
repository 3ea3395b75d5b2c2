"""Faces of a film find their people: known ones join, doubtful ones are asked about, what was said is respected."""

import numpy as np

from facecore.library.resolve import joins, nearest, place
from facecore.library.view import View
from facecore.vectors import to_bytes, unit
from schemas.library import (
    Correction,
    Differ,
    Entry,
    FilmEntry,
    Hide,
    LibraryFace,
    Merge,
    NewVector,
    Reembedded,
)

rng = np.random.default_rng(7)
ANNA, BEN, CLEO = unit(rng.normal(size=(3, 512)))


def like(person: np.ndarray, cosine: float, seed: int = 0) -> np.ndarray:
    """A face of this similarity to the person."""
    noise = np.random.default_rng(seed).normal(size=512)
    noise -= noise @ person * person
    return cosine * person + np.sqrt(1 - cosine**2) * unit(noise)


class Library:
    def __init__(self) -> None:
        self.view, self.entries = View(), 0

    def append(self, entry: Entry) -> None:
        self.entries += 1
        self.view.apply(f"{self.entries}-0", entry)

    def film(self, name: str, *faces: np.ndarray, job: str = "", pack: str = "open") -> FilmEntry:
        job = job or name
        seen = tuple(
            LibraryFace(face_id=f"{job}/face_{i}", prototype=to_bytes(face), sureness=3.5, detections=5)
            for i, face in enumerate(faces)
        )
        entry = place(self.view, FilmEntry(film_id=name, job_id=job, pack=pack, faces=seen))
        self.append(entry)
        while due := joins(self.view, name):
            for joined in due:
                self.append(joined)
        return entry

    def correct(self, change) -> None:
        self.view.check(change)
        self.append(Correction(correction_id=str(self.entries), change=change))

    def person(self, face_id: str) -> str:
        return self.view.face(face_id).person_id


def test_a_known_person_joins_a_stranger_does_not_and_the_doubtful_one_is_asked_about() -> None:
    library = Library()
    library.film("a", ANNA, BEN)
    library.film("b", like(BEN, 0.8, 1), CLEO, like(ANNA, 0.8, 2))
    assert library.person("b/face_0") == library.person("a/face_1")
    assert library.person("b/face_2") == library.person("a/face_0")
    assert len(library.view.people()) == 3
    assert library.film("c", like(CLEO, 0.36, 3)).doubts[0].other_face_id == "b/face_1"
    assert len(library.view.people()) == 4
    (asked,) = library.view.suggestions()
    assert {asked.face_id, asked.other_face_id} == {"b/face_1", "c/face_0"}
    library.correct(Merge(person_id=asked.person_id, other_id=asked.other_id))
    assert len(library.view.people()) == 3
    assert library.view.suggestions() == []


def test_two_faces_of_a_film_are_two_people_and_the_more_similar_one_is_the_known_person() -> None:
    library = Library()
    library.film("a", ANNA)
    library.film("b", like(ANNA, 0.7, 1), like(ANNA, 0.9, 2))
    assert library.person("b/face_1") == library.person("a/face_0") != library.person("b/face_0")


def test_what_people_said_holds_against_any_similarity() -> None:
    library = Library()
    library.film("a", ANNA)
    library.film("b", BEN)
    one, other = library.view.people()
    library.correct(Differ(one=one, other=other))
    for i in range(5):  # the two grow alike
        library.film(f"c{i}", unit(ANNA + (0.2 + 0.1 * i) * BEN))
        library.film(f"d{i}", unit(BEN + (0.2 + 0.1 * i) * ANNA))
    assert library.person("a/face_0") != library.person("b/face_0")
    library.correct(Hide(person_id=one))
    library.film("e", like(ANNA, 0.95))
    assert library.person("e/face_0") == one  # a hidden person is still known
    assert library.view.person(one).hidden


def test_people_are_merged_when_later_films_show_that_they_are_one_and_asking_again_changes_nothing() -> None:
    library = Library()
    left, right = like(ANNA, 0.58, 1), like(ANNA, 0.58, 2)  # two views, unlike each other
    library.film("a", left)
    library.film("b", right)
    assert library.person("a/face_0") != library.person("b/face_0")
    for i in range(8):
        library.film(f"c{i}", like(ANNA, 0.9, 10 + i))
    assert library.person("a/face_0") == library.person("b/face_0")
    assert joins(library.view, "c7") == []


def test_a_film_analysed_again_keeps_its_people_and_packs_are_never_compared() -> None:
    library = Library()
    library.film("a", ANNA, BEN)
    anna, ben = library.view.people()
    again = library.film("a", like(BEN, 0.95), like(ANNA, 0.95), CLEO, job="second")
    assert [placed.continues for placed in again.placements] == ["a/face_1", "a/face_0", None]
    assert library.view.person(anna).faces == ("second/face_1",)
    assert library.view.person(ben).faces == ("second/face_0",)
    library.film("b", ANNA, pack="another")
    assert library.person("b/face_0") not in (anna, ben)
    found = nearest(library.view, np.array([ANNA], np.float32), "another", 5, [None])
    assert [one.person_id for one in found[0]] == [library.person("b/face_0")]
    assert found[0][0].face_id == "b/face_0"
    sees = NewVector(face_id="second/face_1", prototype=to_bytes(ANNA), sureness=3.0)
    library.append(Reembedded(pack="another", faces=(sees,)))
    while due := joins(library.view, "a"):
        library.append(due[0])
    assert library.person("b/face_0") == anna


def test_the_order_of_films_changes_hardly_any_pair() -> None:
    people = unit(np.random.default_rng(1).normal(size=(40, 512)))
    films = []
    for number in range(60):
        cast = np.random.default_rng([2, number]).choice(40, 4, replace=False)
        films.append([(f"{number}", who, like(people[who], 0.75, 100 * number + who)) for who in cast])
    partitions = []
    for seed in range(3):
        library = Library()
        for number in np.random.default_rng(seed).permutation(len(films)):
            library.film(f"f{number}", *(face for _, _, face in films[number]))
        whose = np.array([library.person(f"f{n}/face_{i}") for n in range(60) for i in range(4)])
        partitions.append(whose[:, None] == whose[None])
    truth = np.array([who for film in films for _, who, _ in film])
    assert not (partitions[0] & (truth[:, None] != truth[None])).any()
    assert all((one != partitions[0]).mean() < 0.01 for one in partitions[1:])
