"""Clusters the faces of a job into people, independently of the order in which the faces arrive.

The similarity of two clusters is the mean cosine of their members (average linkage), each member weighted by the
length of its embedding, because embedders answer a blurred or averted face with a short vector. Three corrections
use what a video has and a set of photographs has not:

- Same place in consecutive samples: two clusters are at least as similar as the best such pair of their members, so
  that a face that turns away is tracked from view to view.
- Same frame: two faces in one frame are usually two people (a soft cannot-link constraint), so clusters that share a
  frame need a higher similarity.
- Weak faces resemble each other because they are weak, so the cosine of two weak faces counts less.

The most similar two clusters are merged until no pair is similar enough. The threshold does not change the order of
merging, only its end: with a higher threshold the clusters are parts of those of a lower one (exactly so up to
agglomeration.MAX_EXACT_FACES faces; beyond that, windows of time are clustered first).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from facecore.agglomeration import WEAK_DISCOUNT, Groups, agglomerate, sparse_maximum
from facecore.geometry import iou
from facecore.strangers import DEFAULT_TAIL
from facecore.vectors import lengths, unit

DUPLICATE_COSINE = 0.75
"""From this cosine on two faces in one frame are one person (mirror, split screen) and do not count as strangers."""

OPPOSITE_VIEWS = 0.2
"""Correction of the merging threshold for opposite views (see `cluster`): a view from the left and one from the right
differ more than independent views would. With 0, people are split more often in footage that is blurred or sampled
every 2 s."""

PRIOR_STRANGER_PAIRS = 4
"""Pairs of strangers with a cosine of 0 that the mean is started with, so that one or two real pairs count little."""

LEAST_WEAKNESS, PRIOR_WEAKNESS = 1.0, 10.0
"""Squared deviation of the product of both weaknesses from its mean, summed over the pairs of strangers of a job:
from which on they say what weak faces have in common, and with which `agglomeration.WEAK_DISCOUNT` counts against
them. A film with few people has less, a crowd in the dark more."""

FOLLOWED_COSINE = 0.6
"""A face as similar as this to one of the sample before is one more look at the same person in the same scene."""

CERTAIN_LENGTH_QUANTILE = 0.9
"""Faces with an embedding at least as long as this quantile of the job's lengths have weakness 0."""

WEAK_ABOVE = 0.5
"""Faces of a higher weakness (0-1) are reported as weak: blurred, in profile or in the dark."""

SAME_PLACE_IOU = 0.3
"""Least intersection over union of two boxes at the same place in consecutive samples."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Columns over n detections, in any order.

    Attributes:
        embeddings: (n, 512), not normalised: a longer vector means a surer embedder.
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
        """Returns the detections of these rows."""
        return Detections(*(getattr(self, name)[rows] for name in self.__slots__))


def cluster(
    detections: Detections,
    threshold: float = 0.6,
    *,
    sampling_interval: float,
    tail: Sequence[float] = DEFAULT_TAIL,
) -> NDArray[np.int64]:
    """Clusters detections into people.

    The result depends only on the set of detections: not on their order, the scale of the embeddings, or duplicates.

    Args:
        threshold: cosine similarity from which two faces are one person, 0-1. If two views have cosine t to the
            person's mean face and differ from it independently, their cosine to each other is t²; it is a little less
            for opposite views. So clusters are merged down to t² (1 - OPPOSITE_VIEWS (1 - t²)), but never below the
            mean similarity of strangers (faces in one frame) in this job: in dim footage all faces look alike.
        sampling_interval: seconds between samples.
        tail: of the similarity of strangers with this model pack (facecore.strangers): in a crowd, clusters must be
            more similar than strangers are by chance among so many.

    Returns:
        (n,) label of the person; 0 is the person who appears first (ties: further left, then further up).

    Raises:
        ValueError: an embedding is not finite.
    """
    if not np.isfinite(detections.embeddings).all():
        raise ValueError("an embedding has a value that is not finite")
    if not len(detections):
        return np.zeros(0, np.int64)
    order, distinct = _in_time(detections)
    seen = detections.take(order[np.unique(distinct, return_index=True)[1]])
    units, surenesses = unit(seen.embeddings), lengths(seen.embeddings)
    job = _frames(seen, units, weakness(surenesses), sampling_interval)
    people = agglomerate(
        _singletons(seen, units, surenesses, job.weak_discount, sampling_interval),
        max(threshold**2 * (1 - OPPOSITE_VIEWS * (1 - threshold**2)), job.similarity_of_strangers),
        tail,
        job.followed,
    )
    labels = np.empty(len(detections), np.int64)
    labels[order] = _numbered_by_appearance(people[distinct])
    return labels


def weakness(lengths: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Returns how unsure the embedder is of each face of a job, 0 (certain) to 1, from the embeddings' lengths,
    (n,)."""
    if not len(lengths):
        return np.zeros(0, np.float32)
    weak: NDArray[np.float32] = np.maximum(
        0, 1 - lengths / np.quantile(lengths, CERTAIN_LENGTH_QUANTILE)
    ).astype(np.float32)
    return weak


def representative(
    indices: NDArray[np.int64],
    quality: NDArray[np.float32],
    confidence: NDArray[np.float32],
    timestamps: NDArray[np.float64],
) -> int:
    """Returns the index of a person's best detection: highest quality, then highest confidence, then earliest."""
    rank = np.lexsort((timestamps[indices], -confidence[indices], -quality[indices]))
    return int(indices[rank[0]])


def _in_time(detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorts by time and place and finds duplicates.

    Returns:
        The order, and for each detection in that order the number of its distinct detection.
    """
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


def _singletons(
    seen: Detections,
    units: NDArray[np.float32],
    lengths: NDArray[np.float32],
    weak_discount: float,
    sampling_interval: float,
) -> Groups:
    """Returns one cluster for each detection; the detections are in order of time."""
    weights = (lengths / np.median(lengths)).astype(np.float32)
    members = np.column_stack((units, weakness(lengths))).astype(np.float32)
    numbers, columns = np.unique(seen.frames, return_inverse=True)
    ones, rows = np.ones(len(seen), np.float32), np.arange(len(seen))
    return Groups(
        members * weights[:, None],
        weights,
        sparse.csr_array((ones, (rows, columns)), shape=(len(seen), len(numbers))),
        _links(seen, units, sampling_interval),
        weak_discount,
    )


def _links(seen: Detections, units: NDArray[np.float32], sampling_interval: float) -> sparse.csr_array:
    """Returns the cosines of faces at the same place in consecutive samples, (n, n), symmetric."""
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
        overlapping = iou(seen.boxes[i], seen.boxes[j]) >= SAME_PLACE_IOU
        found.append(np.stack((i[overlapping], j[overlapping])))
    i, j = np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)
    cosines = np.einsum("ij,ij->i", units[i], units[j])
    return sparse_maximum(np.append(i, j), np.append(j, i), np.append(cosines, cosines), n)


class Frames(NamedTuple):
    """What the frames of a job say about all its faces.

    Attributes:
        similarity_of_strangers: mean cosine of faces that share a frame; 0 without any pair.
        weak_discount: what two faces of weakness 1 have in common with each other, measured on faces that share a
            frame; see agglomeration.WEAK_DISCOUNT.
        followed: (n,) whether the sample before shows a similar face.
    """

    similarity_of_strangers: float
    weak_discount: float
    followed: NDArray[np.bool_]


def _frames(
    seen: Detections, units: NDArray[np.float32], weak: NDArray[np.float32], sampling_interval: float
) -> Frames:
    """Compares the faces of each frame with each other, without duplicates of one person, and with those of the frame
    before; the detections are in order of time."""
    total, pairs = 0.0, float(PRIOR_STRANGER_PAIRS)
    product = square = weakness_sum = 0.0
    followed = np.zeros(len(seen), bool)
    starts = np.flatnonzero(np.diff(seen.frames, prepend=seen.frames[0] - 1))
    before = slice(0, 0)
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(seen)], strict=True):
        here = slice(start, end)
        if end - start > 1:
            cosines = units[here] @ units[here].T
            strangers = cosines < DUPLICATE_COSINE  # each pair twice, nobody with himself
            both_weak = (weak[here, None] * weak[here])[strangers]
            apart = cosines[strangers]
            total, pairs = total + float(apart.sum()) / 2, pairs + len(apart) / 2
            product += float(both_weak @ apart) / 2
            square += float(both_weak @ both_weak) / 2
            weakness_sum += float(both_weak.sum()) / 2
        if (
            start
            and seen.frames[start] - seen.frames[start - 1] == 1
            and seen.timestamps[start] - seen.timestamps[start - 1] <= 1.5 * sampling_interval
        ):
            followed[here] = (units[here] @ units[before].T).max(axis=1) >= FOLLOWED_COSINE
        before = here
    discount, count = WEAK_DISCOUNT, max(1.0, pairs - PRIOR_STRANGER_PAIRS)
    product, square = product - total * weakness_sum / count, square - weakness_sum**2 / count
    if square >= LEAST_WEAKNESS:
        discount = (product + PRIOR_WEAKNESS * WEAK_DISCOUNT) / (square + PRIOR_WEAKNESS)
    return Frames(max(0.0, total / pairs), max(WEAK_DISCOUNT, discount), followed)


def _numbered_by_appearance(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the labels renumbered in the order of their first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
