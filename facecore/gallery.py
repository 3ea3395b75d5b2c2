"""Exact nearest-neighbour search over known faces in memory: cosine similarities by matrix multiplication, in blocks
that run in parallel."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

BLOCK_FACES = 1 << 15
"""Faces in a block: 64 MiB, of which the system commits only the used part."""
QUERIES_PER_PASS = 16
"""Queries that share one pass over the vectors."""
ROUNDING_ERROR = 1e-4
"""Upper bound of the rounding error of a float32 cosine of 512 numbers."""


class Hit(NamedTuple):
    """A search result: a person, the person's most similar face, and its cosine similarity."""

    person: bytes
    face: bytes
    similarity: float


class _Block:
    """A part of the gallery as columns; the first `count` rows are in use."""

    def __init__(self, size: int, dimensions: int) -> None:
        self.count = 0
        self.vectors = np.empty((size, dimensions), np.float32)
        self.faces = np.empty(size, "S29")
        self.people = np.empty(size, "S31")
        self.numbers = np.empty(size, np.int64)

    def columns(self) -> tuple[NDArray[np.generic], ...]:
        return self.vectors, self.faces, self.people, self.numbers


class Gallery:
    """Known faces of known people. Not thread-safe.

    Args:
        dimensions: length of the vectors.
        pool: runs the comparisons.
        block_faces: faces in a block.
        queries_per_pass: queries that share one pass over the vectors.
    """

    def __init__(
        self,
        dimensions: int,
        pool: Executor,
        block_faces: int = BLOCK_FACES,
        queries_per_pass: int = QUERIES_PER_PASS,
    ) -> None:
        self._dimensions = dimensions
        self._block_faces = block_faces
        self._queries_per_pass = queries_per_pass
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
        """Adds faces.

        Args:
            faces, people: ids, at most 29 and 31 bytes each.
            numbers: order among faces of the same similarity, lowest first.
            vectors: (n, dimensions), of length 1.
        """
        start = 0
        while start < len(faces):
            if not self._blocks or self._blocks[-1].count == self._block_faces:
                self._blocks.append(_Block(self._block_faces, self._dimensions))
            block = self._blocks[-1]
            end = min(len(faces), start + self._block_faces - block.count)
            to = slice(block.count, block.count + end - start)
            block.vectors[to], block.numbers[to] = vectors[start:end], numbers[start:end]
            block.faces[to], block.people[to] = faces[start:end], people[start:end]
            block.count, start = to.stop, end

    def keep(self, present: Mapping[bytes, int]) -> None:
        """Removes every face that is not in ``present`` with the same number.

        Args:
            present: face → number.
        """
        for block in self._blocks:
            rows = zip(block.faces[: block.count], block.numbers[: block.count], strict=True)
            kept = np.flatnonzero([present.get(face) == number for face, number in rows])
            for column in block.columns():
                column[: len(kept)] = column[kept]
                column[len(kept) : block.count] = np.zeros(1, column.dtype)
            block.count = len(kept)
        self._blocks = [block for block in self._blocks if block.count]

    def search(self, queries: Vectors, limit: int, least: float) -> list[list[Hit]]:
        """Returns the most similar people for each query, the most similar first; ties by the face's number.

        Args:
            queries: (q, dimensions), of length 1.
            limit: most hits for a query.
            least: lowest similarity of a hit.
        """
        found: list[list[Hit]] = []
        for start in range(0, len(queries), self._queries_per_pass):
            batch = np.ascontiguousarray(queries[start : start + self._queries_per_pass], np.float32)
            found += [
                self._best(query, row, limit, least)
                for query, row in zip(batch, self._similarities(batch), strict=True)
            ]
        return found

    def _similarities(self, queries: Vectors) -> Vectors:
        """Returns the cosine similarities, (q, n), in single precision."""
        similar = np.empty((len(queries), len(self)), np.float32)

        def compare(block: _Block, offset: int) -> None:
            vectors, to = block.vectors[: block.count], similar[:, offset : offset + block.count]
            if len(queries) == 1:
                np.vecdot(vectors, queries[0], out=to[0])  # half the CPU time of matmul
            else:
                np.matmul(queries, vectors.T, out=to)

        list(self._pool.map(compare, self._blocks, self._offsets()))
        return similar

    def _best(self, query: Vectors, similar: Vectors, limit: int, least: float) -> list[Hit]:
        """Ranks by similarity in double precision, which does not depend on a face's position in its block.

        The candidates are the best in single precision: four times ``limit`` of them, then four times as many each
        time until enough people are among them.
        """
        count = 4 * limit
        while True:
            partial = len(similar) > count
            rows = np.argpartition(similar, -count)[-count:] if partial else np.arange(len(similar))
            lowest = float(similar[rows].min(initial=2.0))
            hits = self._ranked(query, rows[similar[rows] >= least - ROUNDING_ERROR], limit, least)
            if len(hits) == limit or not partial or lowest < least - ROUNDING_ERROR:
                return hits
            count *= 4

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
