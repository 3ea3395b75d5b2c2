"""Which faces of a job belong to one person: average linkage over embeddings, blind to the order of arrival.

Two groups of faces are as similar as their members are on average, each member weighted by the length of its
embedding, since embedders answer a blurred or averted face with a short vector. Three things that a video
knows and a heap of photographs does not correct that average:

- the same place in the next sample: groups are at least as similar as the best such pair of their members,
  so a face that turns away is followed from view to view;
- one frame: two faces in it are two people, so groups that meet in a frame must be more similar than others;
- weak faces resemble each other for being weak, so their similarity to each other counts for less.

The most similar two groups become one until no two are similar enough. The order of merging does not depend on
the threshold, only its end does: a higher threshold stops earlier, and its people are always parts of those of
a lower one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

SAME_FRAME_MARGIN = 0.15
"""Cosine by which groups that meet in a frame must be more similar than others to be one person. Not absolute:
in a mirror or a split screen the two are far more alike than that."""

MIRROR = 0.75
"""Cosine from which two faces in one frame are taken for one person when strangers are looked at."""

STRANGERS = 4
"""Pairs of strangers with a cosine of 0 that are taken for granted before any are seen."""

WEAK_DISCOUNT = 0.25
"""What the cosine of two faces of no certainty at all would be lowered by."""

SURE = 0.9
"""Quantile of a job's embedding lengths from which a face counts as certain."""

SAME_PLACE = 0.3
"""Overlap (intersection over union) of boxes in consecutive samples that are in the same place."""

COMPACT = 0.7
"""Similarity down to which groups are merged within a window of time before windows are compared."""

WINDOW = 2048
"""Groups that are compared all with all, in order of time; a smaller job is one window and so exact."""

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

    def take(self, rows: NDArray[np.int64]) -> "Detections":
        return Detections(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Groups:
    """k disjoint groups of faces.

    Attributes:
        sums: (k, 513) weighted sum of the members' unit embeddings and, last, of their weakness.
        weights: (k,) sum of the members' weights, so that sums / weights is the mean member.
        frames: (k, number of frames) how many members are in which frame.
        links: (k, k) the highest cosine of two members in the same place in consecutive samples.
    """

    sums: NDArray[np.float32]
    weights: NDArray[np.float32]
    frames: sparse.csr_array
    links: sparse.csr_array

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> "_Groups":
        return _Groups(self.sums[rows], self.weights[rows], self.frames[rows], self.links[rows, rows])

    def joined(self, labels: NDArray[np.int64]) -> "_Groups":
        """The groups that result when those of one label (0, 1, …) become one."""
        pick = sparse.csr_array((np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))))
        links = self.links.tocoo()
        return _Groups(
            pick @ self.sums,
            pick @ self.weights,
            sparse.csr_array(pick @ self.frames),
            _highest(labels[links.row], labels[links.col], links.data, pick.shape[0]),
        )


def cluster(detections: Detections, threshold: float = 0.6, *, sampling_interval: float) -> NDArray[np.int64]:
    """Labels of the people: (n,), 0 for who appears first (ties: further left, then further up).

    The result depends on the set of detections only, not on their order, on the scale of the embeddings, nor
    on whether a detection is listed twice.

    Args:
        threshold: cosine similarity from which two faces are one person, 0-1. Two views that are each at
            cosine t from what a person looks like on the whole are at t² from each other if they differ from
            it independently, so groups are merged down to a similarity of threshold² — but never to one that
            strangers in this job, faces in one frame, have on average (dim footage makes all faces alike).
        sampling_interval: seconds between samples.

    Raises:
        ValueError: an embedding is not finite.
    """
    if not np.isfinite(detections.embeddings).all():
        raise ValueError("an embedding holds a value that is not finite")
    if not len(detections):
        return np.zeros(0, np.int64)
    order, distinct = _in_time(detections)
    seen = detections.take(order[np.unique(distinct, return_index=True)[1]])
    lengths = np.maximum(np.linalg.norm(seen.embeddings, axis=1), np.finfo(np.float32).tiny)
    units = seen.embeddings / lengths[:, None]
    people = _agglomerate_all(
        _single(seen, units, lengths, sampling_interval),
        max(threshold**2, _likeness_of_strangers(units, seen.frames)),
    )
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


def _single(
    seen: Detections, units: NDArray[np.float32], lengths: NDArray[np.float32], sampling_interval: float
) -> _Groups:
    """Every detection, given in order of time, a group of its own."""
    weights = (lengths / np.median(lengths)).astype(np.float32)
    weakness = np.maximum(0, 1 - lengths / np.quantile(lengths, SURE))
    members = np.column_stack((units, weakness)).astype(np.float32)
    numbers, columns = np.unique(seen.frames, return_inverse=True)
    ones, rows = np.ones(len(seen), np.float32), np.arange(len(seen))
    return _Groups(
        members * weights[:, None],
        weights,
        sparse.csr_array((ones, (rows, columns)), shape=(len(seen), len(numbers))),
        _links(seen, units, sampling_interval),
    )


def _links(seen: Detections, units: NDArray[np.float32], sampling_interval: float) -> sparse.csr_array:
    """(n, n) cosines of faces in the same place in consecutive samples, symmetric."""
    n = len(seen)
    found: list[NDArray[np.int64]] = []
    earlier = np.arange(n - 1)
    for ahead in range(1, n):
        earlier = earlier[earlier + ahead < n]
        step = seen.frames[earlier + ahead] - seen.frames[earlier]
        earlier = earlier[step <= 1]
        if not len(earlier):
            break
        late = earlier + ahead
        near = (seen.frames[late] - seen.frames[earlier] == 1) & (
            seen.timestamps[late] - seen.timestamps[earlier] <= 1.5 * sampling_interval
        )
        i, j = earlier[near], late[near]
        over = _overlap(seen.boxes[i], seen.boxes[j]) >= SAME_PLACE
        found.append(np.stack((i[over], j[over])))
    i, j = np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)
    cosines = np.einsum("ij,ij->i", units[i], units[j])
    return _highest(np.append(i, j), np.append(j, i), np.append(cosines, cosines), n)


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of boxes, pair by pair."""
    sides = np.maximum(0, np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]))
    both = sides.prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    overlap: NDArray[np.float32] = both / np.maximum(areas - both, np.finfo(np.float32).tiny)
    return overlap


def _likeness_of_strangers(units: NDArray[np.float32], frames: NDArray[np.int64]) -> float:
    """Mean cosine of faces in one frame, but for those that must be one person twice; 0 when there are none."""
    total, pairs = 0.0, STRANGERS
    starts = np.flatnonzero(np.diff(frames, prepend=frames[0] - 1))
    for start, end in zip(starts, np.append(starts[1:], len(frames)), strict=True):
        if end - start > 1:
            cosines = (units[start:end] @ units[start:end].T)[np.triu_indices(end - start, 1)]
            strangers = cosines[cosines < MIRROR]
            total, pairs = total + float(strangers.sum()), pairs + len(strangers)
    return max(0.0, total / pairs)


def _highest(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], size: int
) -> sparse.csr_array:
    """(size, size) matrix of the highest value at each place off the diagonal."""
    off = rows != columns
    places, inverse = np.unique(rows[off] * size + columns[off], return_inverse=True)
    best = np.full(len(places), -np.inf, np.float32)
    np.maximum.at(best, inverse, values[off])
    return sparse.csr_array((best, (places // size, places % size)), shape=(size, size))


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
            first = likeness.argmax(axis=0, keepdims=True)  # rounding hid that the best pair is mutual
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
    other = means * np.append(np.ones(means.shape[1] - 1), -WEAK_DISCOUNT).astype(np.float32)
    found = np.empty(len(rows), np.int64)
    likeness = np.empty(len(rows), np.float32)
    height = max(1, BLOCK_VALUES // len(groups))
    frames = groups.frames.T.tocsr()
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        similar = means[block] @ other.T
        links = groups.links[block].tocoo()
        at = links.row, links.col
        similar[at] = np.maximum(similar[at], links.data)
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
