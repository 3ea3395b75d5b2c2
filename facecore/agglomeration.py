"""Average linkage over groups of faces: exact for a few thousand of them, window by window for more.

The similarity of two groups is *reducible*: a union is to a third group at most as similar as the better of its
parts is. So a group that has no partner left never gets one again, and pairs that are each other's most similar
group can be merged at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

SAME_FRAME_MARGIN = 0.15
"""Cosine by which groups that meet in a frame must be more similar than others to be one person. Not absolute:
in a mirror or a split screen the two are far more alike than that."""

SAME_FRAME_WEAK = 1.5
"""The same for two faces of no certainty at all, in addition: in the dark all look alike, without any mirror."""

WEAK_DISCOUNT = 0.25
"""What the cosine of two faces of no certainty at all is lowered by."""

EXACT = 4096
"""Faces up to which all are compared with all: 64 MiB for each of two matrices, a second or two."""

WINDOW = 1024
"""Faces, in order of time, that are compared all with all where there are more."""

BLOCK_VALUES = 1 << 23
"""Similarities that are held at a time (float32, so 32 MiB)."""


@dataclass(frozen=True, slots=True)
class Groups:
    """k disjoint groups of faces.

    Attributes:
        sums: (k, d + 1) weighted sum of the members' unit embeddings and, last, of their weakness (0-1).
        weights: (k,) sum of the members' weights, so that sums / weights is the mean member.
        frames: (k, number of frames) how many members are in which frame.
        links: (k, k) symmetric; the highest cosine of two members in the same place in consecutive samples.
    """

    sums: NDArray[np.float32]
    weights: NDArray[np.float32]
    frames: sparse.csr_array
    links: sparse.csr_array

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> "Groups":
        return Groups(self.sums[rows], self.weights[rows], self.frames[rows], self.links[rows, rows])

    def joined(self, labels: NDArray[np.int64]) -> "Groups":
        """The groups that result when those of one label (0, 1, …) become one."""
        pick = sparse.csr_array((np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))))
        links = self.links.tocoo()
        return Groups(
            pick @ self.sums,
            pick @ self.weights,
            sparse.csr_array(pick @ self.frames),
            highest(labels[links.row], labels[links.col], links.data, pick.shape[0]),
        )

    @property
    def weakness(self) -> NDArray[np.float32]:
        """(k,) mean of the members'."""
        mean: NDArray[np.float32] = self.sums[:, -1] / self.weights
        return mean

    def averages(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(rows, k) mean cosine of the members of these groups and of all, less the discount."""
        means = self.sums / self.weights[:, None]
        signs = np.ones(means.shape[1], np.float32)
        signs[-1] = -WEAK_DISCOUNT
        product: NDArray[np.float32] = (means[rows] * signs) @ means.T
        return product


def highest(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], size: int
) -> sparse.csr_array:
    """(size, size) matrix of the highest value at each place off the diagonal."""
    off = rows != columns
    places, inverse = np.unique(rows[off].astype(np.int64) * size + columns[off], return_inverse=True)
    best = np.full(len(places), -np.inf, np.float32)
    np.maximum.at(best, inverse, values[off])
    return sparse.csr_array((best, (places // size, places % size)), shape=(size, size))


def same_frame_margin(one: Any, other: Any) -> NDArray[np.float32]:
    """By how much more than others two groups of this mean weakness must be similar when they meet in a frame."""
    return np.asarray(SAME_FRAME_MARGIN + SAME_FRAME_WEAK * one * other, np.float32)


def agglomerate(faces: Groups, cut: float) -> NDArray[np.int64]:
    """Labels (0, 1, …) of single faces, given in order of time, after merging down to a similarity of `cut`.

    Up to `EXACT` faces the best pair is merged first, always, so that a higher cut only ends sooner. More
    are merged window by window, and what is left of each window with what is left of those before it: time
    grows with the number of faces times that of people.
    """
    if len(faces) <= EXACT:
        return _best_first(faces, cut)
    labels = _best_first(faces[:WINDOW], cut)
    groups = faces[:WINDOW].joined(labels)
    for start in range(WINDOW, len(faces), WINDOW):
        window = faces[start : start + WINDOW]
        found = _best_first(window, cut)
        across = faces.links[start : start + WINDOW, :start].tocoo()
        settled = len(groups)
        groups = _beside(groups, window.joined(found), (found[across.row], labels[across.col], across.data))
        merged = _mutual(groups, settled, cut)
        labels = merged[np.concatenate((labels, found + settled))]
        groups = groups.joined(merged)
    return labels


def _best_first(groups: Groups, cut: float) -> NDArray[np.int64]:
    """Labels after merging the most similar two while they are similar enough. A similarity bounds those that
    follow from above, so a group's best partner is looked for again only when the bound makes it the next."""
    everyone = np.arange(len(groups))
    average = groups.averages(everyone)
    average = (average + average.T) * np.float32(0.5)  # symmetric to the last bit
    links = np.full(average.shape, -np.inf, np.float32)
    stored = groups.links.tocoo()
    links[stored.row, stored.col] = stored.data
    together = (groups.frames @ groups.frames.T).toarray() > 0
    weights, weakness = groups.weights.copy(), groups.weakness
    labels = everyone.copy()
    barred = np.zeros(len(groups), np.float32)
    partner, current = everyone.copy(), np.zeros(len(groups), bool)
    bound = np.full(len(groups), np.inf, np.float32)
    while bound[best := int(bound.argmax())] >= cut:
        if not current[best]:
            margin = same_frame_margin(weakness[best], weakness) * together[best]
            similar = np.maximum(average[best], links[best]) - margin + barred
            similar[best] = -np.inf
            partner[best] = similar.argmax()
            bound[best] = similar[partner[best]]
            current[best] = True
            continue
        a, b = sorted((best, int(partner[best])))
        mixed = (weights[a] * average[a] + weights[b] * average[b]) / (weights[a] + weights[b])
        average[a] = average[:, a] = mixed
        links[a] = links[:, a] = np.maximum(links[a], links[b])
        together[a] = together[:, a] = together[a] | together[b]
        weakness[a] = (weights[a] * weakness[a] + weights[b] * weakness[b]) / (weights[a] + weights[b])
        weights[a] += weights[b]
        labels[labels == b] = a
        current[a] = current[(partner == a) | (partner == b)] = False
        bound[a] = bound[best]
        barred[b] = bound[b] = -np.inf
    return np.unique(labels, return_inverse=True)[1]


Triples = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _beside(settled: Groups, window: Groups, across: Triples) -> Groups:
    """Both, the settled ones first; `across`: the links between them as (of the window, settled, cosine)."""
    count = len(settled)
    old, new = settled.links.tocoo(), window.links.tocoo()
    rows = (old.row, new.row + count, across[0] + count, across[1])
    columns = (old.col, new.col + count, across[1], across[0] + count)
    values = (old.data, new.data, across[2], across[2])
    size = count + len(window)
    return Groups(
        np.concatenate((settled.sums, window.sums)),
        np.concatenate((settled.weights, window.weights)),
        sparse.vstack((settled.frames, window.frames), format="csr"),
        highest(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), size),
    )


def _mutual(groups: Groups, settled: int, cut: float) -> NDArray[np.int64]:
    """Labels after merging, at once, all pairs that are each other's most similar group, while there are any.

    The first `settled` groups have no partner among themselves, so only those are looked at that are another
    one's.
    """
    labels = np.arange(len(groups))
    nearest = np.full(len(groups), -1)
    likeness = np.full(len(groups), -np.inf, np.float32)
    stale = np.arange(settled, len(groups))
    while True:
        while len(stale):
            nearest[stale], likeness[stale] = _most_similar(groups, stale)
            partners = np.unique(nearest[stale][likeness[stale] >= cut])
            stale = partners[nearest[partners] < 0]
        mutual = np.flatnonzero((nearest[nearest] == np.arange(len(groups))) & (likeness >= cut))
        first = mutual[mutual < nearest[mutual]]
        if not len(first):
            first = likeness.argmax(axis=0, keepdims=True)  # rounding may hide that the best pair is mutual
            if likeness[first[0]] < cut:
                return labels
        joined = np.arange(len(groups))
        joined[np.maximum(first, nearest[first])] = np.minimum(first, nearest[first])
        merged = np.zeros(len(groups), bool)
        merged[first] = merged[nearest[first]] = True
        kept, renumbered = np.unique(joined, return_inverse=True)
        stale = np.flatnonzero((merged | (merged[nearest] & (likeness >= cut)))[kept])
        nearest, likeness = np.where(nearest < 0, -1, renumbered[nearest])[kept], likeness[kept]
        groups, labels = groups.joined(renumbered), renumbered[labels]


def _most_similar(groups: Groups, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the rows the group that is most similar to it, and how similar it is."""
    found = np.empty(len(rows), np.int64)
    likeness = np.empty(len(rows), np.float32)
    height, weakness = max(1, BLOCK_VALUES // len(groups)), groups.weakness
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        similar = groups.averages(block)
        links = groups.links[block].tocoo()
        similar[links.row, links.col] = np.maximum(similar[links.row, links.col], links.data)
        together = (groups.frames[block] @ groups.frames.T).tocoo()
        similar[together.row, together.col] -= same_frame_margin(
            weakness[block[together.row]], weakness[together.col]
        )
        similar[np.arange(len(block)), block] = -np.inf
        found[start : start + height] = best = similar.argmax(axis=1)
        likeness[start : start + height] = similar[np.arange(len(block)), best]
    return found, likeness
