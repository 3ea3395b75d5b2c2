"""The search of a gallery equals sorting all faces, also after faces were added and removed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facecore.gallery import Gallery, Hit

any_time = settings(deadline=None, max_examples=100)
DIMENSIONS = 16
POOL = ThreadPoolExecutor(2)


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def filled(rows: Sequence[int], people: Sequence[int], known: NDArray[np.float32]) -> Gallery:
    found = Gallery(DIMENSIONS, POOL, block_faces=7, queries_per_pass=3)
    for row in rows:
        found.add([b"face-%d" % row], [b"person-%d" % people[row]], [row], known[row : row + 1])
    return found


def sorted_all(
    query: NDArray[np.float32], rows: Sequence[int], people: Sequence[int], known: NDArray[np.float32],
    limit: int, least: float,
) -> list[Hit]:  # fmt: skip
    best: dict[bytes, Hit] = {}
    ranked = sorted((-float(known[row].astype(np.float64) @ query.astype(np.float64)), row) for row in rows)
    for similarity, row in ranked:
        who = b"person-%d" % people[row]
        if -similarity >= least:
            best.setdefault(who, Hit(who, b"face-%d" % row, round(-similarity, 6)))
    return list(best.values())[:limit]


@given(
    st.integers(0, 60),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(-1, 1),
    st.randoms(use_true_random=False),
)
@any_time
def test_search_equals_sorting_all_faces(count: int, persons: int, limit: int, least: float, random) -> None:  # type: ignore[no-untyped-def]
    known, queries = vectors(count), vectors(4, seed=1)
    people = [random.randrange(persons) for _ in range(count)]
    rows = list(range(count))
    random.shuffle(rows)
    found = filled(rows, people, known)
    gone = set(random.sample(rows, count // 3))
    found.keep({b"face-%d" % row: row for row in rows if row not in gone})
    left = [row for row in rows if row not in gone]
    assert len(found) == len(left)
    expected = [sorted_all(query, left, people, known, limit, least) for query in queries]
    assert found.search(queries, limit, least) == expected
    assert [found.search(query[None], limit, least)[0] for query in queries] == expected


def test_a_face_erased_and_enrolled_again_is_found_once() -> None:
    known = vectors(2)
    found = filled([0, 1], [0, 1], known)
    found.keep({b"face-0": 5, b"face-1": 1})  # face 0 came back as the fifth
    found.add([b"face-0"], [b"person-7"], [5], known[:1])
    ((hit, _),) = found.search(known[:1], 2, -1.0)
    assert (hit.person, len(found)) == (b"person-7", 2)


def test_many_faces_of_one_person_do_not_displace_others() -> None:
    """The forty most similar faces are one person's: the next people are found all the same."""
    query = vectors(1, seed=2)
    alike = np.repeat(query, 40, axis=0) + 0.01 * vectors(40, seed=3)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    known = np.concatenate((alike, vectors(5, seed=4))).astype(np.float32)
    found = filled(range(45), [0] * 40 + [1, 2, 3, 4, 5], known)
    (hits,) = found.search(query, 3, -1.0)
    assert hits[0].person == b"person-0" and len({hit.person for hit in hits}) == 3
