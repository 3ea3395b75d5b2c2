"""Known faces in memory, searched exactly: every vector is compared, in blocks, by all threads."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

BLOCK = 1 << 15
"""Faces a block: 64 MiB, of which the system hands out what is used."""
AT_ONCE = 16
"""Queries that share a pass over the vectors."""
ROUNDING = 1e-4
"""More than a sum of 512 float32 products of unit vectors is ever wrong by."""


class Hit(NamedTuple):
    """A person, his most similar face, and the cosine similarity of it."""

    person: bytes
    face: bytes
    similarity: float


class _Block:
    """Some faces as columns; the first `count` rows are in use."""

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.vectors = np.empty((BLOCK, dimensions), np.float32)
        self.faces = np.empty(BLOCK, "S29")
        self.people = np.empty(BLOCK, "S31")
        self.numbers = np.empty(BLOCK, np.int64)

    def columns(self) -> tuple[NDArray[np.generic], ...]:
        return self.vectors, self.faces, self.people, self.numbers


class Gallery:
    """Not for use by several threads at once.

    Args:
        dimensions: of the vectors.
        pool: whose threads it searches with.
    """

    def __init__(self, dimensions: int, pool: Executor) -> None:
        self._dimensions = dimensions
        self._blocks: list[_Block] = []
        self._pool = pool

    def __len__(self) -> int:
        return sum(block.count for block in self._blocks)

    def add(
        self,
        faces: Sequence[bytes],
        people: Sequence[bytes],
        numbers: Sequence[int],
        vectors: NDArray[np.float32],
    ) -> None:
        """Args:
        faces, people: at most 29 and 31 bytes each.
        numbers: rank faces of the same similarity.
        vectors: (n, dimensions), of length 1.
        """
        start = 0
        while start < len(faces):
            if not self._blocks or self._blocks[-1].count == BLOCK:
                self._blocks.append(_Block(self._dimensions))
            block = self._blocks[-1]
            end = min(len(faces), start + BLOCK - block.count)
            to = slice(block.count, block.count + end - start)
            block.vectors[to], block.numbers[to] = vectors[start:end], numbers[start:end]
            block.faces[to], block.people[to] = faces[start:end], people[start:end]
            block.count, start = to.stop, end

    def keep(self, present: Mapping[bytes, int]) -> None:
        """Forgets every face that is not there, under the same number."""
        for block in self._blocks:
            known = zip(block.faces[: block.count], block.numbers[: block.count], strict=True)
            kept = np.flatnonzero([present.get(face) == number for face, number in known])
            for column in block.columns():
                column[: len(kept)] = column[kept]
                column[len(kept) : block.count] = np.zeros(1, column.dtype)
            block.count = len(kept)
        self._blocks = [block for block in self._blocks if block.count]

    def search(self, queries: Vectors, limit: int, least: float) -> list[list[Hit]]:
        """For each query the most similar people, the most similar first; ties: who came first.

        Args:
            queries: (q, dimensions), of length 1.
            least: similarity below which nobody is a hit.
        """
        found: list[list[Hit]] = []
        for start in range(0, len(queries), AT_ONCE):
            some = np.ascontiguousarray(queries[start : start + AT_ONCE], np.float32)
            found += [
                self._best(query, row, limit, least)
                for query, row in zip(some, self._similarities(some), strict=True)
            ]
        return found

    def _similarities(self, queries: Vectors) -> Vectors:
        """(q, n) in single precision."""
        similar = np.empty((len(queries), len(self)), np.float32)

        def compare(block: _Block, offset: int) -> None:
            vectors, to = block.vectors[: block.count], similar[:, offset : offset + block.count]
            if len(queries) == 1:
                np.vecdot(vectors, queries[0], out=to[0])  # half the CPU time of BLAS's product by a vector
            else:
                np.matmul(queries, vectors.T, out=to)

        list(self._pool.map(compare, self._blocks, self._offsets()))
        return similar

    def _best(self, query: Vectors, similar: Vectors, limit: int, least: float) -> list[Hit]:
        """Faces are ranked by their similarity in double precision, which does not depend on where they lie."""
        wanted = 4 * limit
        while True:
            some = len(similar) > wanted
            rows = np.argpartition(similar, -wanted)[-wanted:] if some else np.arange(len(similar))
            lowest = float(similar[rows].min(initial=2.0))
            hits = self._ranked(query, rows[similar[rows] >= least - ROUNDING], limit, least)
            if len(hits) == limit or not some or lowest < least - ROUNDING:
                return hits
            wanted *= 4

    def _ranked(self, query: Vectors, rows: NDArray[np.intp], limit: int, least: float) -> list[Hit]:
        offsets = np.array(self._offsets(), np.intp)
        places = np.searchsorted(offsets, rows, "right") - 1
        faces = [(self._blocks[place], row - offsets[place]) for place, row in zip(places, rows, strict=True)]
        vectors = np.array([block.vectors[row] for block, row in faces], np.float64).reshape(
            len(rows), self._dimensions
        )
        exact = np.vecdot(vectors, query.astype(np.float64))
        numbers = np.array([block.numbers[row] for block, row in faces], np.int64)
        hits: dict[bytes, Hit] = {}
        for i in np.lexsort((numbers, -exact)):
            block, row = faces[i]
            person = bytes(block.people[row])
            if exact[i] < least or len(hits) == limit:
                break
            hits.setdefault(person, Hit(person, bytes(block.faces[row]), round(float(exact[i]), 6)))
        return list(hits.values())

    def _offsets(self) -> list[int]:
        offsets = [0]
        for block in self._blocks[:-1]:
            offsets.append(offsets[-1] + block.count)
        return offsets if self._blocks else []
