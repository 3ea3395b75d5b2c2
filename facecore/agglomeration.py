"""Hierarchical clustering of faces by average linkage: exact for a few thousand of them, in windows for more.

Average linkage with soft cannot-link constraints (a margin between clusters that share a frame) and weighted members.
Its similarity is *reducible*: a merged cluster is to a third one at most as similar as the better of its two parts
(Bruynooghe 1977). Therefore a cluster without a partner above the threshold never gets one later, and pairs that are
each other's nearest neighbour (reciprocal nearest neighbours, Murtagh 1983) can be merged in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from facecore.stopping import raise_if_stopped
from facecore.strangers import crowd_threshold

SAME_FRAME_MARGIN = 0.15
"""Subtracted from the similarity of two clusters that share a frame. A margin, not a prohibition: a mirror or a split
screen shows one person twice, and those two faces are far more similar than this."""

SAME_FRAME_WEAK_MARGIN = 1.5
"""Subtracted in addition for two clusters of weakness 1: in the dark all faces look alike, without any mirror."""

WEAK_DISCOUNT = 0.25
"""Least that is subtracted from the cosine of two faces of weakness 1. Where weak strangers of a job have more in
common, as in a crowd in the dark, as much as they have is subtracted (facecore.clustering)."""

MAX_EXACT_FACES = 4096
"""Up to this many faces all pairs are compared: two matrices of 64 MiB, one to two seconds."""

WINDOW_FACES = 2048
"""Above `MAX_EXACT_FACES`: faces, in order of time, among which all pairs are compared."""

BLOCK_SIMILARITIES = 1 << 23
"""Similarities held at a time: 32 MiB of float32."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Disjoint clusters of faces, k of them.

    Attributes:
        sums: (k, d + 1) weighted sum of the members' unit embeddings and, in the last column, of their weakness
        (0-1). weights: (k,) sum of the members' weights; sums / weights is the mean member.
        frames: (k, number of frames) count of members in each frame.
        links: (k, k) symmetric; the highest cosine of two members at the same place in consecutive samples.
        weak_discount: what is subtracted from the cosine of two faces of weakness 1.
    """

    sums: NDArray[np.float32]
    weights: NDArray[np.float32]
    frames: sparse.csr_array
    links: sparse.csr_array
    weak_discount: float

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> "Groups":
        return replace(
            self,
            sums=self.sums[rows],
            weights=self.weights[rows],
            frames=self.frames[rows],
            links=self.links[rows, rows],
        )

    def merged(self, labels: NDArray[np.int64]) -> "Groups":
        """Returns the clusters after merging those with the same label (0, 1, …)."""
        pick = sparse.csr_array((np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))))
        links = self.links.tocoo()
        return Groups(
            pick @ self.sums,
            pick @ self.weights,
            sparse.csr_array(pick @ self.frames),
            sparse_maximum(labels[links.row], labels[links.col], links.data, pick.shape[0]),
            self.weak_discount,
        )

    @property
    def weakness(self) -> NDArray[np.float32]:
        """Returns the mean weakness of the members, (k,)."""
        mean: NDArray[np.float32] = self.sums[:, -1] / self.weights
        return mean

    def averages(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the mean cosine between the members of these clusters and of all, less `weak_discount` times both
        weaknesses: (rows, k)."""
        means = self.sums / self.weights[:, None]
        signs = np.ones(means.shape[1], np.float32)
        signs[-1] = -self.weak_discount
        product: NDArray[np.float32] = (means[rows] * signs) @ means.T
        return product


def sparse_maximum(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], size: int
) -> sparse.csr_array:
    """Returns the (size, size) matrix of the highest value at each place; values on the diagonal are dropped."""
    off_diagonal = rows != columns
    places, inverse = np.unique(
        rows[off_diagonal].astype(np.int64) * size + columns[off_diagonal], return_inverse=True
    )
    best = np.full(len(places), -np.inf, np.float32)
    np.maximum.at(best, inverse, values[off_diagonal])
    return sparse.csr_array((best, (places // size, places % size)), shape=(size, size))


def same_frame_margin(one: Any, other: Any) -> NDArray[np.float32]:
    """Returns what is subtracted from the similarity of two clusters that share a frame.

    Args:
        one, other: mean weakness of each.
    """
    return np.asarray(SAME_FRAME_MARGIN + SAME_FRAME_WEAK_MARGIN * one * other, np.float32)


def agglomerate(
    faces: Groups, threshold: float, tail: Sequence[float], followed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Merges clusters while their similarity is at least ``threshold`` and more than chance among so many clusters.

    Up to `MAX_EXACT_FACES` faces the most similar pair is always merged first, so that a higher threshold only stops
    earlier. More faces are merged window by window, then each window's clusters with those of the windows before: the
    time grows with the number of faces times the number of people.

    Args:
        faces: one face each, in order of time.
        tail: of the similarity of strangers, see `facecore.strangers.crowd_threshold`.
        followed: whether each is one more look at a face of the sample before. Such looks are merged at no risk, so
            these merges do not raise the number of merges that may be wrong.

    Returns:
        Labels 0, 1, … of the faces.
    """
    first_looks = np.concatenate(([0], np.cumsum(~followed)))
    if len(faces) <= MAX_EXACT_FACES:
        return _merge_best_first(faces, int(first_looks[-1]), threshold, tail)
    labels = _merge_window(faces[:WINDOW_FACES], int(first_looks[WINDOW_FACES]), threshold, tail)
    groups = faces[:WINDOW_FACES].merged(labels)
    for start in range(WINDOW_FACES, len(faces), WINDOW_FACES):
        window = faces[start : start + WINDOW_FACES]
        until = int(first_looks[start + len(window)])
        found = _merge_window(window, until - int(first_looks[start]), threshold, tail)
        across = faces.links[start : start + WINDOW_FACES, :start].tocoo()
        settled = len(groups)
        groups = _concatenated(
            groups, window.merged(found), (found[across.row], labels[across.col], across.data)
        )
        merged = _merge_reciprocal(groups, settled, until, threshold, tail)
        labels = merged[np.concatenate((labels, found + settled))]
        groups = groups.merged(merged)
    return labels


def _merge_window(faces: Groups, looks: int, threshold: float, tail: Sequence[float]) -> NDArray[np.int64]:
    """Merges like `_merge_best_first`, in less time; returns labels.

    The similarity that a merge needs only falls from merge to merge, so the pairs that reach its first value are
    merged in any case, and in any order.
    """
    first = max(threshold, crowd_threshold(tail, len(faces), 0))
    certain = _merge_reciprocal(faces, 0, looks, first, tail)
    return _merge_best_first(faces.merged(certain), looks, threshold, tail)[certain]


def _merge_best_first(
    groups: Groups, looks: int, threshold: float, tail: Sequence[float]
) -> NDArray[np.int64]:
    """Merges the most similar pair until that is not similar enough; returns labels.

    Similarities only fall (see the module's docstring), so the last known similarity of a cluster's best partner is
    an upper bound. The partner is recomputed only when that bound is the highest of all.

    Args:
        looks: number of faces in all clusters, without those that were followed.
    """
    everyone = np.arange(len(groups))
    average = groups.averages(everyone)
    average = (average + average.T) * np.float32(0.5)  # symmetric to the last bit
    links = np.full(average.shape, -np.inf, np.float32)
    stored = groups.links.tocoo()
    links[stored.row, stored.col] = stored.data
    share_frame = (groups.frames @ groups.frames.T).toarray() > 0
    weights, weakness = groups.weights.copy(), groups.weakness
    labels = everyone.copy()
    removed = np.zeros(len(groups), np.float32)  # -inf for clusters that were merged into another
    partner, current = everyone.copy(), np.zeros(len(groups), bool)
    bound = np.full(len(groups), np.inf, np.float32)
    left = len(groups)
    least = max(threshold, crowd_threshold(tail, left, max(0, looks - left)))
    while bound[best := int(bound.argmax())] >= least:
        raise_if_stopped()
        if not current[best]:
            margin = same_frame_margin(weakness[best], weakness) * share_frame[best]
            similar = np.maximum(average[best], links[best]) - margin + removed
            similar[best] = -np.inf
            partner[best] = similar.argmax()
            bound[best] = similar[partner[best]]
            current[best] = True
            continue
        a, b = sorted((best, int(partner[best])))
        mixed = (weights[a] * average[a] + weights[b] * average[b]) / (weights[a] + weights[b])
        average[a] = average[:, a] = mixed
        links[a] = links[:, a] = np.maximum(links[a], links[b])
        share_frame[a] = share_frame[:, a] = share_frame[a] | share_frame[b]
        weakness[a] = (weights[a] * weakness[a] + weights[b] * weakness[b]) / (weights[a] + weights[b])
        weights[a] += weights[b]
        labels[labels == b] = a
        current[a] = current[(partner == a) | (partner == b)] = False
        bound[a] = bound[best]
        removed[b] = bound[b] = -np.inf
        left -= 1
        least = max(threshold, crowd_threshold(tail, left, max(0, looks - left)))
    return np.unique(labels, return_inverse=True)[1]


Triples = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _concatenated(settled: Groups, window: Groups, across: Triples) -> Groups:
    """Returns the settled clusters followed by those of the window.

    Args:
        across: links between the two as (row in the window, row in the settled ones, cosine).
    """
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
        sparse_maximum(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), size),
        settled.weak_discount,
    )


def _merge_reciprocal(
    groups: Groups, settled: int, looks: int, threshold: float, tail: Sequence[float]
) -> NDArray[np.int64]:
    """Merges all pairs of reciprocal nearest neighbours at once, until none is similar enough; returns labels.

    The first ``settled`` clusters have no partner among themselves, so the nearest neighbour is computed only for
    those of them that are another cluster's nearest neighbour.

    Args:
        looks: number of faces in all clusters, without those that were followed.
    """
    labels = np.arange(len(groups))
    nearest = np.full(len(groups), -1)
    similarity = np.full(len(groups), -np.inf, np.float32)
    stale = np.arange(settled, len(groups))
    while True:
        least = max(threshold, crowd_threshold(tail, len(groups), max(0, looks - len(groups))))
        while len(stale):
            nearest[stale], similarity[stale] = _nearest(groups, stale)
            partners = np.unique(nearest[stale][similarity[stale] >= least])
            stale = partners[nearest[partners] < 0]
        reciprocal = np.flatnonzero((nearest[nearest] == np.arange(len(groups))) & (similarity >= least))
        first = reciprocal[reciprocal < nearest[reciprocal]]
        if not len(first):
            first = similarity.argmax(
                axis=0, keepdims=True
            )  # rounding may hide that the best pair is reciprocal
            if similarity[first[0]] < least:
                return labels
        target = np.arange(len(groups))
        target[np.maximum(first, nearest[first])] = np.minimum(first, nearest[first])
        changed = np.zeros(len(groups), bool)
        changed[first] = changed[nearest[first]] = True
        kept, renumbered = np.unique(target, return_inverse=True)
        stale = np.flatnonzero((changed | (changed[nearest] & (similarity >= least)))[kept])
        nearest, similarity = np.where(nearest < 0, -1, renumbered[nearest])[kept], similarity[kept]
        groups, labels = groups.merged(renumbered), renumbered[labels]


def _nearest(groups: Groups, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns the nearest neighbour of each of these clusters and its similarity."""
    found = np.empty(len(rows), np.int64)
    similarity = np.empty(len(rows), np.float32)
    height, weakness = max(1, BLOCK_SIMILARITIES // len(groups)), groups.weakness
    for start in range(0, len(rows), height):
        raise_if_stopped()
        block = rows[start : start + height]
        similar = groups.averages(block)
        links = groups.links[block].tocoo()
        similar[links.row, links.col] = np.maximum(similar[links.row, links.col], links.data)
        share_frame = (groups.frames[block] @ groups.frames.T).tocoo()
        similar[share_frame.row, share_frame.col] -= same_frame_margin(
            weakness[block[share_frame.row]], weakness[share_frame.col]
        )
        similar[np.arange(len(block)), block] = -np.inf
        found[start : start + height] = best = similar.argmax(axis=1)
        similarity[start : start + height] = similar[np.arange(len(block)), best]
    return found, similarity
