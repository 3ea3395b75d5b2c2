"""The faces of a library as vectors, and the mean face of each person, with exact search among the means.

A face takes 1 KiB (half precision, whose rounding changes a cosine by less than 0.0001), a person 2 KiB. A search
compares the queries with every person by matrix multiplication, in blocks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facecore.vectors import from_bytes, unit
from schemas.vectors import DIMENSIONS

Vectors32 = NDArray[np.float32]

BLOCK_PEOPLE = 1 << 15
"""People that are compared at once: 64 MiB of vectors."""
_GROWTH = 1.5


class Mean(NamedTuple):
    """A mean face of length 1, and what is behind it (`facecore.library.evidence.Strength`)."""

    vector: Vectors32
    views: float
    sureness: float


class Neighbour(NamedTuple):
    """A person who is similar to a query: cosine to the mean face, and what is behind that."""

    person: str
    similarity: float
    views: float
    sureness: float


class _People:
    """The mean faces of one pack; a person's row stays the same until the person goes."""

    def __init__(self) -> None:
        self.means = np.zeros((0, DIMENSIONS), np.float32)
        self.strength = np.zeros((0, 2), np.float64)
        self.rows: dict[str, int] = {}
        self.names: list[str] = []
        self._free: list[int] = []

    def put(self, person: str, mean: Mean) -> None:
        if (row := self.rows.get(person)) is None:
            row = self.rows[person] = self._free.pop() if self._free else len(self.names)
            if row == len(self.names):
                self.names.append(person)
                self.means, self.strength = _grown(self.means, row), _grown(self.strength, row)
            self.names[row] = person
        self.means[row], self.strength[row] = mean.vector, (mean.views, mean.sureness)

    def drop(self, person: str) -> None:
        if (row := self.rows.pop(person, None)) is not None:
            self.means[row], self.strength[row], self.names[row] = 0, 0, ""
            self._free.append(row)


class Vectors:
    """The vectors of a library's faces. Faces of different packs are never compared."""

    def __init__(self) -> None:
        self._faces = np.zeros((0, DIMENSIONS), np.float16)
        self._strength = np.zeros((0, 2), np.float32)  # views, sureness
        self._packs: list[str | None] = []
        self._people: dict[str, _People] = {}
        self._changed: dict[str, None] = {}

    def put(self, face: int, pack: str, prototype: bytes, views: float, sureness: float) -> None:
        """Keeps the vector of a face, in place of an earlier one; without a vector, the face has none."""
        self._faces, self._strength = _grown(self._faces, face), _grown(self._strength, face)
        self._packs.extend([None] * (face + 1 - len(self._packs)))
        self.drop(face)
        if prototype:
            self._faces[face], self._strength[face] = from_bytes([prototype])[0], (views, sureness)
            self._packs[face] = pack

    def drop(self, face: int) -> None:
        """Forgets the vector of a face."""
        self._faces[face], self._strength[face], self._packs[face] = 0, 0, None

    def regrouped(self) -> "Vectors":
        """Returns the same faces without people, to group them anew."""
        other = Vectors()
        other._faces, other._strength, other._packs = self._faces, self._strength, self._packs
        return other

    def touch(self, person: str) -> None:
        """Notes that the faces of a person have changed, or that there is no such person any more."""
        self._changed[person] = None

    def refresh(self, faces_of: Callable[[str], list[int]]) -> None:
        """Computes the means of the people who were touched.

        Args:
            faces_of: returns the faces of a person; none when it is gone.
        """
        for person in self._changed:
            means = self.means(faces_of(person))
            for pack in {*self._people, *means}:
                people = self._people.setdefault(pack, _People())
                if pack in means:
                    people.put(person, means[pack])
                else:
                    people.drop(person)
        self._changed = {}

    def means(self, faces: list[int]) -> dict[str, Mean]:
        """Returns by pack the mean of some faces, those counting more of which the embedder was surer."""
        by_pack: dict[str, list[int]] = {}
        for face in faces:
            if (pack := self._packs[face]) is not None:
                by_pack.setdefault(pack, []).append(face)
        return {pack: self._mean(rows) for pack, rows in by_pack.items()}

    def _mean(self, faces: list[int]) -> Mean:
        views, sureness = self._strength[faces].T
        mean = sureness @ self._faces[faces].astype(np.float32)
        return Mean(unit(mean), float(views.sum()), float(sureness.mean()))

    def of(self, faces: list[int]) -> Vectors32:
        """Returns the vectors of faces, (n, 512); zeros for those without one."""
        return self._faces[faces].astype(np.float32).reshape(len(faces), DIMENSIONS)

    def pack(self, face: int) -> str | None:
        """Returns the model pack of a face's vector; None without one."""
        return self._packs[face]

    def people(self, pack: str) -> int:
        """Returns the number of people with a mean face of this pack."""
        return len(self._people[pack].rows) if pack in self._people else 0

    def nearest(self, pack: str, queries: Vectors32, limit: int) -> list[list[Neighbour]]:
        """Returns for each query the people with the most similar mean faces, the most similar first.

        Args:
            queries: (q, 512), of length 1.
            limit: people for a query.
        """
        if (people := self._people.get(pack)) is None or not people.rows:
            return [[] for _ in queries]
        best: list[list[tuple[float, int]]] = [[] for _ in queries]
        for start in range(0, len(people.names), BLOCK_PEOPLE):
            block = people.means[start : min(start + BLOCK_PEOPLE, len(people.names))]
            similar = queries @ block.T
            count = min(limit + 1, len(block))
            rows = np.argpartition(similar, -count, axis=1)[:, -count:]
            for found, row, values in zip(best, rows, similar, strict=True):
                found += [(-float(values[i]), start + int(i)) for i in row if people.names[start + i]]
        return [
            [
                Neighbour(people.names[row], -negative, *map(float, people.strength[row]))
                for negative, row in sorted(found)[:limit]
            ]
            for found in best
        ]


def _grown(array: NDArray[Any], row: int) -> NDArray[Any]:
    """Returns an array that has this row."""
    if row < len(array):
        return array
    larger = np.zeros((max(64, int((row + 1) * _GROWTH)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
