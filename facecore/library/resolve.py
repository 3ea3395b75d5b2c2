"""Decides whose the faces of a film are: people of the library, or new ones.

A film's faces are assigned to people one to one, since two faces of a film are two people: the assignment of the
greatest sum of log-odds (Kuhn 1955), with "a new person" as an option for each. A face joins its person if that is
probable enough, else it founds a person; what is doubtful becomes a question. People whose mean faces have come to
agree are merged afterwards. Decisions respect what people said, and go into the log: a rebuild repeats them, it does
not decide again.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from facecore.library.evidence import Strength, calibration, log_odds, probability, views
from facecore.library.state import State
from facecore.library.vectors import Mean, Vectors
from facecore.vectors import from_bytes
from schemas.library import Doubt, FilmEntry, Joined, LibraryFace, Placement
from schemas.vectors import DIMENSIONS

CANDIDATES = 8
"""People whom a face is compared with in detail."""
DOUBTS = 3
"""Questions that a face may raise."""
SAME_FACE_AGAIN = 0.6
"""Least cosine of a face in two analyses of one film."""


class Thresholds(NamedTuple):
    """Least probabilities of decisions.

    Attributes:
        join: a face of a film joins a person.
        merge: two people are merged without being asked for.
        doubt: people are asked.
    """

    join: float = 0.99
    merge: float = 0.99
    doubt: float = 0.2


DEFAULTS = Thresholds()


class Candidate(NamedTuple):
    """A person whom a face may be."""

    person_id: str
    face_id: str
    similarity: float
    probability: float


def place(view: State, film: FilmEntry, thresholds: Thresholds = DEFAULTS) -> FilmEntry:
    """Returns the entry of a film with the decisions on its faces; the view stays as it is."""
    view.refresh()
    again = _again(view, film)
    taken = {view.partition.person(view.numbers[name]) for name in again.values()}
    new = [i for i in range(len(film.faces)) if i not in again]
    vectors = _vectors(film.faces)
    candidates = near_means(view.vectors, [_mean(film, i) for i in new], film.pack, CANDIDATES)
    assigned = iter(zip(candidates, _assigned(candidates, taken), strict=True))
    placements, doubts = [], list[Doubt]()
    for i, face in enumerate(film.faces):
        if i in again:
            placements.append(Placement(continues=again[i]))
            continue
        near, chosen = next(assigned)
        if chosen is not None and chosen.probability >= thresholds.join:
            placements.append(_joining(chosen))
            continue
        best = max(near, key=lambda one: one.probability, default=None)
        placements.append(
            Placement(
                probability=round(1 - best.probability, 6) if best else 1.0,
                similarity=round(best.similarity, 6) if best else None,
            )
        )
        doubts += [
            Doubt(
                face_id=face.face_id,
                other_face_id=_most_similar(view, one.person_id, vectors[i], film.pack),
                probability=round(one.probability, 6),
            )
            for one in near[:DOUBTS]
            if one.probability >= thresholds.doubt
        ]
    return msgspec.structs.replace(film, placements=tuple(placements), doubts=tuple(doubts))


def joins(view: State, film_id: str, thresholds: Thresholds = DEFAULTS, *, at: float = 0.0) -> list[Joined]:
    """Returns the merges of people of a film with others that are due by now, no person in two of them.

    After they were applied there may be more: ask until there are none. Nothing is lost when a process dies between.
    """
    view.refresh()
    found: list[Joined] = []
    busy: set[str] = set()
    people = list(dict.fromkeys(view.partition.person(face) for face in view.film_faces(film_id)))
    for one, other in _near_people(view, people):
        free = other.probability >= thresholds.merge and busy.isdisjoint((one, other.person_id))
        if free and _may_merge(view, one, other.person_id):
            busy |= {one, other.person_id}
            found.append(_joined(view, one, other, at))
    return found


def nearest(
    view: State, vectors: NDArray[np.float32], pack: str, limit: int, sureness: Sequence[float | None]
) -> list[list[Candidate]]:
    """Returns for each face, a row of length 1, the most similar people of the library, the most probable first.

    Args:
        sureness: length of the embedding of each face; None: not known.
    """
    view.refresh()
    average = calibration(pack).average
    means = [Mean(vector, 1.0, sure or average) for vector, sure in zip(vectors, sureness, strict=True)]
    found = near_means(view.vectors, means, pack, limit)
    return [
        [one._replace(face_id=_most_similar(view, one.person_id, query, pack)) for one in near]
        for query, near in zip(vectors, found, strict=True)
    ]


def _joining(chosen: Candidate) -> Placement:
    return Placement(
        person_id=chosen.person_id,
        probability=round(chosen.probability, 6),
        similarity=round(chosen.similarity, 6),
    )


def _joined(view: State, one: str, other: Candidate, at: float) -> Joined:
    older, younger = sorted((one, other.person_id), key=view.partition.age)
    similarity, sure = round(other.similarity, 6), round(other.probability, 6)
    reason = f"Their mean faces have a similarity of {similarity:.3f}: {sure:.2%} probable that they are one person."
    return Joined(
        person_id=older, other_id=younger, probability=sure, similarity=similarity, reason=reason, at=at
    )


def _again(view: State, film: FilmEntry) -> dict[int, str]:
    """Returns for faces that the film's earlier analysis had its face's id; what a person divided stays apart."""
    old = [n for n in view.film_faces(film.film_id) if view.vectors.pack(n) == film.pack]
    if not old or not film.faces:
        return {}
    similar = _vectors(film.faces) @ view.vectors.of(old).T
    for i, face in enumerate(film.faces):
        similar[i, [view.nodes[number].division != face.division for number in old]] = -1.0
    pairs = zip(*linear_sum_assignment(similar, maximize=True), strict=True)
    return {int(i): view.nodes[old[j]].face_id for i, j in pairs if similar[i, j] >= SAME_FACE_AGAIN}


def near_means(vectors: Vectors, means: Sequence[Mean], pack: str, limit: int) -> list[list[Candidate]]:
    """Returns for each mean face the most similar people, the most probable first."""
    people, calibrated = vectors.people(pack), calibration(pack)
    queries = np.array([mean.vector for mean in means], np.float32).reshape(len(means), DIMENSIONS)
    found = []
    for mean, near in zip(means, vectors.nearest(pack, queries, limit), strict=True):
        similar, counts, sureness = np.array([one[1:] for one in near], np.float64).reshape(len(near), 3).T
        mine, others = Strength(mean.views, mean.sureness), Strength(counts, sureness)
        sure = probability(log_odds(similar, mine, others, people, calibrated)).tolist()
        row = [Candidate(one.person, "", one.similarity, p) for one, p in zip(near, sure, strict=True)]
        found.append(sorted(row, key=lambda one: (-one.probability, one.person_id)))
    return found


def _mean(film: FilmEntry, position: int) -> Mean:
    face = film.faces[position]
    worth = views(face.detections, face.spread, calibration(film.pack))
    return Mean(_vectors([face])[0], worth, face.sureness)


def _assigned(candidates: list[list[Candidate]], taken: set[str]) -> list[Candidate | None]:
    """Returns the person of each face in the best assignment; None: a new one."""
    people = sorted({one.person_id for near in candidates for one in near} - taken)
    column = {person: i for i, person in enumerate(people)}
    odds = np.full((len(candidates), len(people) + len(candidates)), -np.inf)
    odds[:, len(people) :] = 0.0  # a new person
    for row, near in enumerate(candidates):
        for one in near:
            if one.person_id in column:
                p = min(max(one.probability, 1e-15), 1 - 1e-15)
                odds[row, column[one.person_id]] = np.log(p / (1 - p))
    _, chosen = linear_sum_assignment(np.maximum(odds, -1e6), maximize=True)
    by_person = [{one.person_id: one for one in near} for near in candidates]
    return [
        by_person[row].get(people[j]) if j < len(people) else None for row, j in enumerate(chosen.tolist())
    ]


def _near_people(view: State, people: Sequence[str]) -> Iterator[tuple[str, Candidate]]:
    """Yields pairs of a person and another who is among the most similar ones, by model pack."""
    means: dict[str, list[tuple[str, Mean]]] = {}
    for person in people:
        for pack, mean in view.vectors.means(view.current(person)).items():
            means.setdefault(pack, []).append((person, mean))
    for pack, rows in sorted(means.items()):
        found = near_means(view.vectors, [mean for _, mean in rows], pack, CANDIDATES + 1)
        for (person, _), near in zip(rows, found, strict=True):
            yield from ((person, other) for other in near if other.person_id != person)


def _may_merge(view: State, one: str, other: str) -> bool:
    return view.hidden(one) == view.hidden(other) and view.may_join(one, other)


def _most_similar(view: State, person: str, query: NDArray[np.float32], pack: str) -> str:
    faces = [face for face in view.current(person) if view.vectors.pack(face) == pack]
    return view.nodes[faces[int((view.vectors.of(faces) @ query).argmax())]].face_id


def _vectors(faces: Sequence[LibraryFace]) -> NDArray[np.float32]:
    return from_bytes([face.prototype for face in faces])
