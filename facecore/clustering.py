"""Which faces of a job belong to one person: average linkage over embeddings, blind to the order of arrival.

Two groups of faces are as similar as their members are on average, each member weighted by the length of its
embedding: embedders answer a blurred or averted face with a short vector, so such a face joins a person but
hardly decides who belongs to him. The most similar two groups become one until none are similar enough. The
order of merging does not depend on the threshold, only the end does: a higher threshold stops earlier, and
what it gives is always a refinement of what a lower one gives.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

SAME_FRAME_MARGIN = 0.15
"""Cosine by which groups that are in one frame together must be more similar than others: two faces in one
frame are two people, unless they look so much alike that it must be a mirror or a split screen."""

COMPACT = 0.7
"""Mean similarity down to which faces are merged within a window of time before windows are compared."""

WINDOW = 2048
"""Groups that are compared all with all, in order of time; smaller jobs are one window and so exact."""

BLOCK_VALUES = 1 << 23
"""Similarities held at a time (float32, so 32 MiB)."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Columns over n detections, in any order.

    Attributes:
        embeddings: (n, 512), not normalised: the length tells how sure the embedder is.
        frames: (n,) number of the sample.
        timestamps: (n,) seconds.
        boxes: (n, 4) x_min, y_min, x_max, y_max in source pixels.
        quality: (n,) composite quality, 0-1.
        confidence: (n,) the detector's score, 0-1.
    """

    embeddings: NDArray[np.float32]
    frames: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    boxes: NDArray[np.float32]
    quality: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class _Groups:
    """k disjoint groups of faces.

    Attributes:
        sums: (k, 512) sum of the members' weighted unit embeddings.
        weights: (k,) sum of the members' weights, so that sums / weights is the mean face.
        frames: (k, number of frames) how many members are in which frame.
    """

    sums: NDArray[np.float32]
    weights: NDArray[np.float32]
    frames: sparse.csr_array

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> "_Groups":
        return _Groups(self.sums[rows], self.weights[rows], self.frames[rows])

    def joined(self, labels: NDArray[np.int64]) -> "_Groups":
        """The groups that result when those of one label (0, 1, …) become one."""
        pick = sparse.csr_array((np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))))
        return _Groups(pick @ self.sums, pick @ self.weights, sparse.csr_array(pick @ self.frames))


def cluster(detections: Detections, threshold: float = 0.6, *, sampling_interval: float) -> NDArray[np.int64]:
    """Labels of the people: (n,), 0 for who appears first (ties: further left, then further up).

    The result depends on the set of detections only, not on their order, on the scale of the embeddings, nor
    on whether a detection is listed twice.

    Args:
        threshold: cosine similarity from which two faces are one person, 0-1. Two views of a person that are
            each at cosine t from what he looks like on the whole are at t² from each other when what makes
            them differ is independent; so groups are merged down to a mean similarity of threshold².
        sampling_interval: seconds between samples.

    Raises:
        ValueError: an embedding is not finite.
    """
    if not np.isfinite(detections.embeddings).all():
        raise ValueError("an embedding holds a value that is not finite")
    if not len(detections):
        return np.zeros(0, np.int64)
    order, distinct = _in_time(detections)
    groups = _single(detections, order[np.unique(distinct, return_index=True)[1]])
    people = _agglomerate_all(groups, threshold**2)
    labels = np.empty(len(detections), np.int64)
    labels[order] = _by_first(people[distinct])
    return labels


def representative(
    indices: NDArray[np.int64],
    quality: NDArray[np.float32],
    confidence: NDArray[np.float32],
    timestamps: NDArray[np.float64],
) -> int:
    """Which of a person's detections shows him best: the highest quality, then confidence, then the first."""
    rank = np.lexsort((timestamps[indices], -confidence[indices], -quality[indices]))
    return int(indices[rank[0]])


def _in_time(detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order of the detections by time and place, and for each in that order the number of its distinct
    detection: one that is listed twice counts once."""
    keys = np.column_stack(
        (
            detections.timestamps,
            detections.frames,
            detections.boxes,
            detections.confidence,
            detections.quality,
            detections.embeddings[:, :4],
        )
    )
    order = np.lexsort(keys.T[::-1])
    differs = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    return order, np.concatenate(([0], np.cumsum(differs)))


def _single(detections: Detections, rows: NDArray[np.int64]) -> _Groups:
    """Every detection a group of its own."""
    embeddings = detections.embeddings[rows]
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1), np.finfo(np.float32).tiny)
    weights = (lengths / np.median(lengths)).astype(np.float32)
    units = embeddings / lengths[:, None]
    numbers, columns = np.unique(detections.frames[rows], return_inverse=True)
    ones = np.ones(len(rows), np.float32)
    frames = sparse.csr_array((ones, (np.arange(len(rows)), columns)), shape=(len(rows), len(numbers)))
    return _Groups(units * weights[:, None], weights, frames)


def _agglomerate_all(groups: _Groups, cut: float) -> NDArray[np.int64]:
    """Labels of the groups after merging down to `cut`: first window by window, then all with all."""
    labels = np.arange(len(groups))
    while len(groups) > WINDOW:
        step, count = [], 0
        for start in range(0, len(groups), WINDOW):
            part = _agglomerate(groups[start : start + WINDOW], max(cut, COMPACT)) + count
            step.append(part)
            count = int(part.max()) + 1
        found = np.concatenate(step)
        labels, before, groups = found[labels], len(groups), groups.joined(found)
        if len(groups) > 0.9 * before:
            break
    return _agglomerate(groups, cut)[labels]


def _agglomerate(groups: _Groups, cut: float) -> NDArray[np.int64]:
    """Labels (0, 1, … by first member) after merging, while there are any, groups of similarity ≥ cut.

    All pairs that are each other's most similar group are merged at once. Average linkage is reducible (a
    union is to others at most as similar as the better of its parts, and the margin keeps that so), hence
    this ends where merging the best pair one at a time would end, and a group's most similar one stays so
    until one of the two is merged.
    """
    labels = np.arange(len(groups))
    nearest = np.full(len(groups), -1)
    likeness = np.full(len(groups), -np.inf, np.float32)
    stale = np.arange(len(groups))
    while len(groups) > 1:
        nearest[stale], likeness[stale] = _most_similar(groups, stale)
        mutual = np.flatnonzero((nearest[nearest] == np.arange(len(groups))) & (likeness >= cut))
        first = mutual[mutual < nearest[mutual]]
        if not len(first):
            first = likeness.argmax(keepdims=True)  # rounding hid that the best pair is mutual
            if likeness[first[0]] < cut:
                break
        joined = np.arange(len(groups))
        joined[np.maximum(first, nearest[first])] = np.minimum(first, nearest[first])
        merged = np.zeros(len(groups), bool)
        merged[first] = merged[nearest[first]] = True
        kept, renumbered = np.unique(joined, return_inverse=True)
        stale = np.flatnonzero((merged | merged[nearest])[kept])
        nearest, likeness = renumbered[nearest[kept]], likeness[kept]
        groups, labels = groups.joined(renumbered), renumbered[labels]
    return labels


def _most_similar(groups: _Groups, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the rows the group that is most similar to it, and how similar it is."""
    means = groups.sums / groups.weights[:, None]
    found = np.empty(len(rows), np.int64)
    likeness = np.empty(len(rows), np.float32)
    height = max(1, BLOCK_VALUES // len(groups))
    frames = groups.frames.T.tocsr()
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        similar = means[block] @ means.T
        together = (groups.frames[block] @ frames).tocoo()
        similar[together.row, together.col] -= SAME_FRAME_MARGIN
        similar[np.arange(len(block)), block] = -np.inf
        found[start : start + height] = best = similar.argmax(axis=1)
        likeness[start : start + height] = similar[np.arange(len(block)), best]
    return found, likeness


def _by_first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The labels renumbered in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
