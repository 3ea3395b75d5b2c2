"""Known pictures: frames of a batch whose picture has been analysed before, which take what was seen in it then."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from consumers.reuse import usable
from consumers.service import Service
from schemas.observations import FrameFaces
from schemas.store.lua import Call
from schemas.store.observations import Observations

FRAMES_PER_STEP = 64
"""Frames whose observations are read, or taken over, in one round trip."""


class PictureOf(NamedTuple):
    """A picture of a frame of a job.

    Attributes:
        source: name of the source in `schemas.store.observations`.
        name: of the picture there.
        frame: number of the sample in the job.
        min_confidence: the threshold in force, 0-1.
    """

    job_id: str
    run: str
    source: str
    name: str
    frame: int
    timestamp: float
    min_confidence: float


class KnownPictures:
    """Takes over, and keeps, what was seen in pictures."""

    def __init__(self, service: Service) -> None:
        self._kept = Observations(service.redis, service.names, service.settings)

    async def take(self, pictures: Sequence[PictureOf], outcome: bytes = b"") -> set[PictureOf]:
        """Gives frames the faces and crops that are known of their pictures; returns the frames that got them.

        Args:
            pictures: of one source and run each; they may be of several.
            outcome: recorded for each such frame; empty: it is recorded otherwise.
        """
        taken = set[PictureOf]()
        by_run: dict[tuple[str, str, str], list[PictureOf]] = {}
        for picture in pictures:
            by_run.setdefault((picture.source, picture.job_id, picture.run), []).append(picture)
        for (source, job_id, run), some in by_run.items():
            for start in range(0, len(some), FRAMES_PER_STEP):
                step = some[start : start + FRAMES_PER_STEP]
                stored = await self._kept.read(source, [picture.name for picture in step])
                known = {
                    picture.frame: (picture, _of_frame(faces, picture))
                    for picture, encoded in zip(step, stored, strict=True)
                    if (faces := usable(encoded, picture.min_confidence)) is not None
                }
                frames = [
                    (frame, msgspec.msgpack.encode(faces), picture.name, len(faces.faces))
                    for frame, (picture, faces) in known.items()
                ]
                adopted = await self._kept.adopt(source, job_id, run, frames, outcome)
                taken |= {known[frame][0] for frame in adopted}
        return taken

    def keeping(self, seen: Iterable[tuple[PictureOf, FrameFaces, Mapping[str, bytes]]]) -> list[Call]:
        """Returns the calls that keep what was seen in pictures; their replies go to `forget`.

        Args:
            seen: pictures with their faces, and the crop of each face by its field in the job's hash of portraits.
        """
        by_run: dict[tuple[str, str, str], dict[str, bytes]] = {}
        for picture, faces, crops in seen:
            fields = by_run.setdefault((picture.source, picture.job_id, picture.run), {})
            fields[picture.name] = msgspec.msgpack.encode(faces)
            fields |= {f"{picture.name}/{field.rpartition('/')[2]}": crop for field, crop in crops.items()}
        return [
            self._kept.keeping(source, job_id, fields, run)
            for (source, job_id, run), fields in by_run.items()
        ]

    async def forget(self, replies: Iterable[Sequence[bytes]]) -> None:
        """Forgets the sources for which there is no room any more."""
        for reply in replies:
            await self._kept.forget(reply)


def _of_frame(faces: FrameFaces, picture: PictureOf) -> FrameFaces:
    return msgspec.structs.replace(
        faces, index=picture.frame, timestamp=picture.timestamp, picture=picture.name
    )
