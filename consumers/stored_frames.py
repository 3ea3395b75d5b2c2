"""Reads what is stored of frames before they are analysed: faces of an earlier attempt, the state of their job."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from consumers.runtime.stage import Delivery
from consumers.service import Service
from schemas.messages import FrameTask
from schemas.observations import FrameFaces


class StoredFrame(NamedTuple):
    """What is stored of a frame and its job.

    Attributes:
        first, second: faces of the original frame and of the enhanced one.
        is_over: whether the run of the job is over.
        source: name of its source, where observations are used and kept.
    """

    first: FrameFaces | None
    second: FrameFaces | None
    is_over: bool
    source: str


async def read_stored(service: Service, batch: Sequence[Delivery[FrameTask]]) -> list[StoredFrame]:
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
        replies = await pipe.execute()
    stored: dict[int, StoredFrame] = {}
    records, hashes = replies[::2], replies[1::2]
    for indices, record, fields in zip(rows.values(), records, hashes, strict=True):
        created, ended, run, source = cast("list[bytes | None]", record)
        faces = [msgspec.msgpack.decode(f, type=FrameFaces) if f else None for f in fields]
        for i, first, second in zip(indices, faces[::2], faces[1::2], strict=True):
            is_over = created is None or ended is not None or not batch[i].envelope.is_of(run)
            stored[i] = StoredFrame(first, second, is_over, (source or b"").decode())
    return [stored[i] for i in range(len(batch))]
