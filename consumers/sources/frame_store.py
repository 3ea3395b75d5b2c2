"""Where frames wait between the stages: in the server, for a limited time, or in files on a shared volume."""

import asyncio
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from redis.asyncio import Redis

from schemas.messages import FileFrame, StoredFrame
from schemas.names import Names

MAX_FRAME_BYTES = 64 << 20
"""A frame in a file that is larger than this was not written by a frame server."""


class FrameStore:
    """Encoded pictures by job and name.

    Args:
        redis: client with ``decode_responses=False``.
        ttl: seconds after which a frame is dropped that nobody deleted.
        frame_roots: directories that a `FileFrame` may lie in, links resolved.
    """

    def __init__(self, redis: Redis, names: Names, *, ttl: int, frame_roots: Sequence[Path] = ()) -> None:
        self._redis = redis
        self._names = names
        self._ttl = ttl
        self._frame_roots = tuple(frame_roots)

    async def put(self, job_id: str, name: str, encoded: bytes) -> StoredFrame:
        """Stores a frame; storing it again replaces it and starts its time anew."""
        await self._redis.set(self._names.job(job_id).frame(name), encoded, ex=self._ttl)
        return StoredFrame(name)

    async def get_many(self, frames: Sequence[tuple[str, StoredFrame | FileFrame]]) -> list[bytes | None]:
        """The pictures of some frames, each of a job; None for one that is gone or may not be read."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id, frame in frames:
                if isinstance(frame, StoredFrame):
                    pipe.get(self._names.job(job_id).frame(frame.name))
            stored = iter(cast("list[bytes | None]", await pipe.execute()))
        return [
            next(stored)
            if isinstance(frame, StoredFrame)
            else await asyncio.to_thread(self._read, Path(frame.path))
            for _, frame in frames
        ]

    async def delete(self, frames: Sequence[tuple[str, StoredFrame | FileFrame]]) -> None:
        """Drops stored frames; files belong to whoever wrote them and stay."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id, frame in frames:
                if isinstance(frame, StoredFrame):
                    pipe.unlink(self._names.job(job_id).frame(frame.name))
            await pipe.execute()

    def _read(self, path: Path) -> bytes | None:
        try:
            place = path.resolve(strict=True)
            if not any(place.is_relative_to(root) for root in self._frame_roots):
                return None
            status = place.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FRAME_BYTES:
                return None
            return place.read_bytes()
        except (FileNotFoundError, NotADirectoryError, RuntimeError):
            return None
