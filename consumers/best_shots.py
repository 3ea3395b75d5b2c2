"""Estimates age, gender and emotion of the people of jobs from the crops of their best shots."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, cast

import msgspec

from consumers.inference import InferenceThread
from consumers.reuse import estimate_field
from consumers.runtime.stage import Delivery
from consumers.service import Service
from facecore.analyzer import Analyzer
from facecore.attributes import FaceAttributes, of_person
from facecore.portraits import FaceInPortrait
from facecore.video.images import decode
from schemas.messages import FinalizeTask, PortraitsTask, Shot
from schemas.results import Demographics
from schemas.store.observations import Observations

PEOPLE_PER_TURN = 16
"""People per use of the inference thread, before other stages get a turn: about a second on two cores."""


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """What is estimated of a crop of a face: the emotion, or age and gender."""

    emotion: str | None = None
    attributes: FaceAttributes = FaceAttributes()


class _Person(NamedTuple):
    """A person of a job.

    Attributes:
        best: field of the best shot in the job's portraits hash.
    """

    job: str
    run: str
    best: str
    shots: tuple[Shot, ...]


class _Crop(NamedTuple):
    """A crop of a face, of which age and gender are estimated; with no aspect, the emotion is."""

    encoded: bytes
    aspect: float | None


class BestShots:
    """The models for people, and what is known from them of crops."""

    def __init__(self, service: Service, inference: InferenceThread) -> None:
        self._service = service
        self._inference = inference
        self._kept = Observations(service.redis, service.names, service.settings)

    async def look(self, lane: str, batch: Sequence[Delivery[PortraitsTask]]) -> list[FinalizeTask]:
        """Looks at the people of all jobs of a batch together, since large batches use the cores better.

        Args:
            lane: lane of the fair lock of the inference thread.
        """
        everyone = [
            _Person(envelope.job, envelope.run, best, shots)
            for envelope in (delivery.envelope for delivery in batch)
            for best, shots in zip(
                envelope.body.portraits,
                envelope.body.shots or ((),) * len(envelope.body.portraits),
                strict=True,
            )
        ]
        found: list[tuple[str | None, Demographics]] = []
        for start in range(0, len(everyone), PEOPLE_PER_TURN):
            found += await self._turn(lane, everyone[start : start + PEOPLE_PER_TURN])
        rest = iter(found)
        tasks = []
        for delivery in batch:
            mine = list(islice(rest, len(delivery.envelope.body.portraits)))
            tasks.append(
                FinalizeTask(
                    emotions=tuple(emotion for emotion, _ in mine),
                    attributes=tuple(attributes for _, attributes in mine),
                )
            )
        return tasks

    async def _turn(self, lane: str, people: Sequence[_Person]) -> list[tuple[str | None, Demographics]]:
        """Returns emotion, age and gender of some people."""
        observer, analyzer = self._inference.observer, self._inference.analyzer
        read = await self._read(people)
        crops, rows = dict[str, _Crop](), list[list[str]]()
        for person, (pictures, _) in zip(people, read, strict=True):
            rows.append([])
            aspects = (None, *(shot.aspect for shot in person.shots))
            for picture, aspect in zip(pictures, aspects, strict=True):
                rows[-1].append("" if picture is None else estimate_field(observer, picture, aspect))
                if picture is not None:
                    crops[rows[-1][-1]] = _Crop(picture, aspect)
        estimates = {"": Estimate()}  # of a crop that is missing
        for (_, source), row in zip(read, rows, strict=True):
            stored = await self._kept.read(source, row) if source else []
            known = zip(row, stored, strict=bool(source))
            estimates |= {f: msgspec.msgpack.decode(v, type=Estimate) for f, v in known if v is not None}
        new = {field: crop for field, crop in crops.items() if field not in estimates}
        estimates |= await self._inference.run(lane, partial(_estimated, analyzer, new))
        for person, (_, source), row in zip(people, read, rows, strict=True):
            kept = {field: msgspec.msgpack.encode(estimates[field]) for field in row if field in new}
            if source and kept:
                await self._kept.keep(source, person.job, kept, person.run)
        return [
            (
                estimates[row[0]].emotion,
                of_person(
                    [
                        (estimates[field].attributes, shot.quality)
                        for field, shot in zip(row[1:], person.shots, strict=True)
                    ]
                ),
            )
            for person, row in zip(people, rows, strict=True)
        ]

    async def _read(self, people: Sequence[_Person]) -> list[tuple[list[bytes | None], str]]:
        """Reads the encoded crops of each person, None for a missing one, and the name of the source."""
        async with self._service.redis.pipeline(transaction=False) as pipe:
            for person in people:
                keys = self._service.names.job(person.job)
                pipe.hmget(keys.portraits, [person.best, *(shot.portrait for shot in person.shots)])
                pipe.hget(keys.metadata, "observed")
            replies = await pipe.execute()
        sources = cast("list[bytes | None]", replies[1::2])
        return [(row, (of or b"").decode()) for row, of in zip(replies[::2], sources, strict=True)]


def _estimated(analyzer: Analyzer, crops: Mapping[str, _Crop]) -> dict[str, Estimate]:
    """Returns what is estimated of crops, by their fields."""
    best = {field: decode(crop.encoded) for field, crop in crops.items() if crop.aspect is None}
    faces = {
        field: FaceInPortrait(decode(crop.encoded), crop.aspect)
        for field, crop in crops.items()
        if crop.aspect is not None
    }
    emotions = zip(best, analyzer.emotions([*best.values()]), strict=True)
    attributes = zip(faces, analyzer.attributes([*faces.values()]), strict=True)
    return {field: Estimate(emotion=found) for field, found in emotions} | {
        field: Estimate(attributes=found) for field, found in attributes
    }
