"""Which faces of a job belong to one person: average linkage over embeddings, blind to the order of arrival.

Two groups of faces are as similar as their members are on average, each member weighted by the length of its
embedding, since embedders answer a blurred or averted face with a short vector. Three things that a video
knows and a heap of photographs does not correct that average:

- the same place in the next sample: groups are at least as similar as the best such pair of their members,
  so a face that turns away is followed from view to view;
- one frame: two faces in it are two people, so groups that meet in a frame must be more similar than others;
- weak faces resemble each other for being weak, so their similarity to each other counts for less.

The most similar two groups become one until no two are similar enough. The order of merging does not depend on
the threshold, only its end does: a higher threshold stops earlier, and its people are parts of those of a lower
one (to the letter up to linkage.EXACT faces; beyond, windows of time come first).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from facecore.agglomeration import Groups, agglomerate, highest
from facecore.geometry import iou
from facecore.vectors import lengths, unit

MIRROR = 0.75
"""Cosine from which two faces in one frame are taken for one person when strangers are looked at."""

OPPOSITE = 0.2
"""By how much two views of a person are less alike than if they differed from him independently: who looks left
strays the other way from who looks right. With 0, people are split more often in footage that is blurred or sampled
every 2 s."""

STRANGERS = 4
"""Pairs of strangers with a cosine of 0 that are taken for granted before any are seen."""

SURE = 0.9
"""Quantile of a job's embedding lengths from which a face counts as certain."""

WEAK = 0.5
"""Weakness (0: certain, 1: none at all) beyond which a face is called weak: a blur, a profile, a face in the dark."""

SAME_PLACE = 0.3
"""Overlap (intersection over union) of boxes in consecutive samples that are in the same place."""


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


def cluster(detections: Detections, threshold: float = 0.6, *, sampling_interval: float) -> NDArray[np.int64]:
    """Labels of the people: (n,), 0 for who appears first (ties: further left, then further up).

    The result depends on the set of detections only, not on their order, on the scale of the embeddings, nor
    on whether a detection is listed twice.

    Args:
        threshold: cosine similarity from which two faces are one person, 0-1. Two views that are each at
            cosine t from what a person looks like on the whole are at t² from each other if they differ from
            it independently, and a little less since there are opposite views as well: groups are merged down
            to t² (1 - OPPOSITE (1 - t²)) — but never to a similarity that strangers in this job, faces in one
            frame, have on average (dim footage makes all faces alike).
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
    units = unit(seen.embeddings)
    people = agglomerate(
        _single(seen, units, lengths(seen.embeddings), sampling_interval),
        max(threshold**2 * (1 - OPPOSITE * (1 - threshold**2)), _likeness_of_strangers(units, seen.frames)),
    )
    labels = np.empty(len(detections), np.int64)
    labels[order] = _by_first(people[distinct])
    return labels


def weakness(lengths: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """How much the embedder doubts each of a job's faces, 0-1, from the lengths of their embeddings (n,)."""
    if not len(lengths):
        return np.zeros(0, np.float32)
    doubt: NDArray[np.float32] = np.maximum(0, 1 - lengths / np.quantile(lengths, SURE)).astype(np.float32)
    return doubt


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
) -> Groups:
    """Every detection, given in order of time, a group of its own."""
    weights = (lengths / np.median(lengths)).astype(np.float32)
    members = np.column_stack((units, weakness(lengths))).astype(np.float32)
    numbers, columns = np.unique(seen.frames, return_inverse=True)
    ones, rows = np.ones(len(seen), np.float32), np.arange(len(seen))
    return Groups(
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
        over = iou(seen.boxes[i], seen.boxes[j]) >= SAME_PLACE
        found.append(np.stack((i[over], j[over])))
    i, j = np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)
    cosines = np.einsum("ij,ij->i", units[i], units[j])
    return highest(np.append(i, j), np.append(j, i), np.append(cosines, cosines), n)


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


def _by_first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The labels renumbered in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
