"""What is stored of frames: read before they are analysed (pictures, faces of an earlier attempt, the state of their
job), and written after."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from consumers.known_pictures import KnownPictures, PictureOf
from consumers.runtime.stage import Delivery
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from schemas.envelope import Envelope
from schemas.messages import FileFrame, FrameTask
from schemas.messages import StoredFrame as FrameInRedis
from schemas.observations import FrameFaces
from schemas.store.lua import run_all
from schemas.store.run_data import HashFields, Kept, keeping
from schemas.store.submissions import RECORD_MARGIN_SECONDS

FRAMES_PER_CALL = 8
"""Frames of a job that one script call stores: a script blocks the server for all other clients."""


class StoredFrame(NamedTuple):
    """What is stored of a frame and its job.

    Attributes:
        first, second: faces of the original frame and of the enhanced one.
        is_over: whether the run of the job is over.
        source: name of its source, where observations are used and kept.
        picture: encoded; None when it is no longer there, or may not be read.
    """

    first: FrameFaces | None
    second: FrameFaces | None
    is_over: bool
    source: str
    picture: bytes | None


async def read_stored(
    service: Service, store: FrameStore, batch: Sequence[Delivery[FrameTask]]
) -> list[StoredFrame]:
    """Reads what is stored of each frame, in one round trip."""
    rows: dict[str, list[int]] = {}
    for i, delivery in enumerate(batch):
        rows.setdefault(delivery.envelope.job, []).append(i)
    async with service.redis.pipeline(transaction=False) as pipe:
        for job, indices in rows.items():
            keys = service.names.job(job)
            units = [str(batch[i].envelope.body.index) for i in indices]
            pipe.hmget(keys.metadata, ["created", "ended", "run", "observed"])
            pipe.hmget(keys.faces, [field for unit in units for field in (unit, unit + "+")])
        frames = [(d.envelope.job, d.envelope.body.frame) for d in batch]
        pictures, replies = await store.get_many(frames, pipe)
    stored: dict[int, StoredFrame] = {}
    records, hashes = replies[::2], replies[1::2]
    for indices, record, fields in zip(rows.values(), records, hashes, strict=True):
        created, ended, run, source = cast("list[bytes | None]", record)
        faces = [msgspec.msgpack.decode(f, type=FrameFaces) if f else None for f in fields]
        for i, first, second in zip(indices, faces[::2], faces[1::2], strict=True):
            is_over = created is None or ended is not None or not batch[i].envelope.is_of(run)
            stored[i] = StoredFrame(first, second, is_over, (source or b"").decode(), pictures[i])
    return [stored[i] for i in range(len(batch))]


class SeenFrame(NamedTuple):
    """What was seen in a frame.

    Attributes:
        envelope: of its message.
        field: of the job's hash of faces.
        crops: of the faces, by their field in the job's hash of portraits.
        picture: under which it is kept for later jobs; None: it is not.
    """

    envelope: Envelope[FrameTask]
    field: str
    faces: FrameFaces
    crops: Mapping[str, bytes]
    picture: PictureOf | None


async def store_seen(
    service: Service, store: FrameStore, known: KnownPictures, frames: Sequence[SeenFrame]
) -> None:
    """Stores faces and crops of frames, also for later jobs, and deletes the pictures, in one round trip."""
    by_run: dict[tuple[str, str], list[SeenFrame]] = {}
    for frame in frames:
        by_run.setdefault((frame.envelope.job, frame.envelope.run), []).append(frame)
    stored = [
        keeping(_kept(service, run[start : start + FRAMES_PER_CALL]))
        for run in by_run.values()
        for start in range(0, len(run), FRAMES_PER_CALL)
    ]
    pictures = known.keeping((f.picture, f.faces, f.crops) for f in frames if f.picture is not None)
    replies = await run_all(service.redis, [*pictures, *stored]) if frames else []
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    await known.forget(replies[: len(pictures)])
    files = [(f.envelope.job, f.envelope.body.frame) for f in frames]
    await store.delete([(job, frame) for job, frame in files if isinstance(frame, FileFrame)])


def _kept(service: Service, frames: Sequence[SeenFrame]) -> Kept:
    """Returns what is written of frames of a run: all of it, or nothing."""
    envelope, keys = frames[0].envelope, service.names.job(frames[0].envelope.job)
    ttl = service.settings.job_deadline + RECORD_MARGIN_SECONDS
    faces = {frame.field: msgspec.msgpack.encode(frame.faces) for frame in frames}
    crops = {field: crop for frame in frames for field, crop in frame.crops.items()}
    places = [frame.envelope.body.frame for frame in frames]
    pictures = [place.name for place in places if isinstance(place, FrameInRedis)]
    hashes = [
        HashFields(keys.portraits, ttl, crops),
        HashFields(keys.faces, ttl, faces),
        HashFields(keys.frames, ttl, {}, removed=pictures),
    ]
    return Kept(keys.metadata, envelope.run, [one for one in hashes if one.fields or one.removed])
