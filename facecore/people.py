"""The people of a job: filters and clusters its faces, and chooses each person's best shot."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facecore.clustering import WEAK_ABOVE, Detections, cluster, representative, weakness
from facecore.quality import composite
from facecore.vectors import from_bytes, lengths
from schemas.divisions import Division, Spot
from schemas.metadata import Rejected
from schemas.names import portrait_field
from schemas.observations import FrameFaces, ObservedFace

BEST_SHOTS = 5
"""Most detections of a person of which age and gender are estimated. Of people in films with ten and more detections,
the age from five differs from that of all by as much as the ages from two halves of all differ (1.1 years)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One detection of a person.

    Attributes:
        position: index of the face in its frame.
        weak: the embedder is unsure of it, compared with the job's best faces.
    """

    position: int
    frame: FrameFaces
    face: ObservedFace
    weak: bool = False

    @property
    def portrait(self) -> str:
        """Returns the field of its portrait in the job's hash of portraits."""
        return portrait_field(self.frame.index, self.position, self.face.enhanced)

    @property
    def original_portrait(self) -> str:
        """Returns the field of its portrait in the original picture: age and gender are not those of a restored face,
        since restoring invents details."""
        return portrait_field(self.frame.index, self.position, enhanced=False)


@dataclass(frozen=True, slots=True)
class Person:
    """One person: sightings in order of time, and the best shot among them.

    Attributes:
        division: by which the sightings are this person, whatever the grouping takes them for; else empty.
    """

    sightings: list[Sighting]
    best: Sighting
    division: str = ""

    @property
    def best_shots(self) -> list[Sighting]:
        """Returns the best shot and those of the next highest qualities, `BEST_SHOTS` at most; a picture that several
        samples show counts once."""
        ranked = sorted(self.sightings, key=lambda s: (s is not self.best, -composite(s.face.quality)))
        different = dict[bytes, Sighting]()
        for sighting in ranked:
            different.setdefault(sighting.face.embedding, sighting)
        return list(different.values())[:BEST_SHOTS]


@dataclass(frozen=True, slots=True)
class People:
    """The people of a job, the one with the most detections first, and counts of what was left out.

    Attributes:
        min_quality: the threshold in force.
        unidentifiable: detections that show too little to tell people apart.
    """

    persons: list[Person]
    rejected: Rejected
    min_quality: float
    unidentifiable: int = 0

    @property
    def detections(self) -> int:
        """Returns the number of detections of all people."""
        return sum(len(person.sightings) for person in self.persons)


def gather(
    frames: Sequence[FrameFaces],
    *,
    threshold: float,
    deduplicate: bool,
    sampling_interval: float,
    min_quality: float,
    max_faces: int,
    include_unidentifiable: bool = False,
    divisions: Sequence[Division] = (),
) -> People:
    """Finds the people in a job's frames; the order of the frames does not matter.

    Args:
        threshold: cosine similarity from which two faces are one person, 0-1.
        deduplicate: False makes every detection a person.
        sampling_interval: seconds between samples.
        min_quality: detections of lower composite quality are dropped.
        max_faces: most people to return; those with the fewest detections are left out.
        include_unidentifiable: whether detections that show too little to tell people apart follow, each as a person.
        divisions: detections that are one person, and no other.
    """
    seen = [
        Sighting(position, frame, face)
        for frame in sorted(frames, key=lambda frame: (frame.timestamp, frame.index))
        for position, face in enumerate(frame.faces)
    ]
    good = [sighting for sighting in seen if composite(sighting.face.quality) >= min_quality]
    kept = [sighting for sighting in good if sighting.face.identifiable]
    others = [Person([sighting], sighting) for sighting in good if not sighting.face.identifiable]
    columns = _columns(kept)
    weak = weakness(lengths(columns.embeddings)) > WEAK_ABOVE
    kept = [replace(sighting, weak=bool(w)) for sighting, w in zip(kept, weak, strict=True)]
    labels = (
        cluster(columns, threshold, sampling_interval=sampling_interval)
        if deduplicate
        else np.arange(len(kept), dtype=np.int64)
    )
    labels, names = _divided(kept, labels, divisions, sampling_interval / 2)
    persons = _persons(kept, columns, labels, names) + (others if include_unidentifiable else [])
    return People(
        persons[:max_faces],
        Rejected(
            low_confidence=sum(frame.low_confidence for frame in frames),
            low_quality=len(seen) - len(good),
            max_faces=sum(len(person.sightings) for person in persons[max_faces:]),
        ),
        min_quality,
        len(others),
    )


def _columns(seen: Sequence[Sighting]) -> Detections:
    return Detections(
        embeddings=from_bytes([s.face.embedding for s in seen]),
        frames=np.array([s.frame.index for s in seen], np.int64),
        timestamps=np.array([s.frame.timestamp for s in seen], np.float64),
        boxes=np.array([s.face.box for s in seen], np.float32).reshape(len(seen), 4),
        quality=np.array([composite(s.face.quality) for s in seen], np.float32),
        confidence=np.array([s.face.confidence for s in seen], np.float32),
    )


def _divided(
    seen: Sequence[Sighting], labels: NDArray[np.int64], divisions: Sequence[Division], reach: float
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Gives the detections of each division a label of their own; returns the labels, and whose these are.

    Args:
        reach: seconds from a place to the sample that shows it, at most.
    """
    labels, names = labels.copy(), dict[int, str]()
    times = [sighting.frame.timestamp for sighting in seen]
    for division in divisions:
        chosen = {found for spot in division.spots if (found := _at(seen, times, spot, reach)) is not None}
        if chosen:
            label = int(labels.max()) + 1
            labels[sorted(chosen)] = label
            names[label] = division.division_id
    return labels, names


def _at(seen: Sequence[Sighting], times: Sequence[float], spot: Spot, reach: float) -> int | None:
    """Returns the detection at a place, in the nearest sample, the one whose centre is nearest; None without one."""
    found = list[tuple[float, float, int]]()
    for number in range(
        bisect_left(times, spot.timestamp - reach), bisect_right(times, spot.timestamp + reach)
    ):
        left, top, right, bottom = seen[number].face.box
        if left - 1 <= spot.x <= right + 1 and top - 1 <= spot.y <= bottom + 1:  # a result rounds its boxes
            off = (left + right) / 2 - spot.x, (top + bottom) / 2 - spot.y
            found.append((abs(times[number] - spot.timestamp), off[0] ** 2 + off[1] ** 2, number))
    return min(found)[2] if found else None


def _persons(
    seen: Sequence[Sighting], columns: Detections, labels: NDArray[np.int64], divisions: Mapping[int, str]
) -> list[Person]:
    """Returns the people by number of detections, then best quality, then first appearance."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    found = []
    for members in groups:
        best = representative(members, columns.quality, columns.confidence, columns.timestamps)
        rank = (-len(members), -float(columns.quality[best]), int(members[0]))
        division = divisions.get(int(labels[members[0]]), "")
        found.append((rank, Person([seen[i] for i in members], seen[best], division)))
    return [person for _, person in sorted(found, key=lambda item: item[0])]
