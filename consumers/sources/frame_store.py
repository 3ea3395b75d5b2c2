"""Frame store: holds frames between the stages for a limited time, in Redis or as files on a shared volume."""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from consumers.sources.safety import open_source_file
from facecore.video import SourceError
from schemas.messages import FileFrame, StoredFrame
from schemas.names import Names
from schemas.store.run_data import HashFields, Kept, keep_all

MAX_FRAME_BYTES = 64 << 20
"""Largest frame in a file that is read; no frame server writes a larger one."""
SUFFIX = ".faces-frame"
"""Ending of the store's files: no other file of its directory is ever removed."""
TRANSIENT_ERRNOS = frozenset(
    {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}
)
"""Errors of a volume or of the process after which another attempt may read the file."""
SWEEP_SECONDS = 60.0
"""Least time between two searches for expired files."""


class FrameStore:
    """Stores encoded pictures by job and name.

    Args:
        redis: client with ``decode_responses=False``.
        ttl: seconds after which frames that were not deleted expire.
        directory: of a volume that all workers see under this path; None stores the frames in Redis.
        frame_roots: further directories that a `FileFrame` may be in, links resolved.
    """

    def __init__(
        self,
        redis: Redis,
        names: Names,
        *,
        ttl: int,
        directory: Path | None = None,
        frame_roots: Sequence[Path] = (),
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl = ttl
        self._directory = directory
        self._frame_roots = (*frame_roots, *([directory] if directory else []))
        self._swept = 0.0

    async def put(self, job_id: str, run: str, name: str, encoded: bytes) -> StoredFrame | FileFrame:
        """Stores a frame, unless its run is over. The time to live of all frames of the job restarts.

        Raises:
            OSError: the volume is full or not writable.
        """
        (stored,), fields = await self.prepare(job_id, run, [(name, encoded)])
        await keep_all(self._redis, [Kept(self._names.job(job_id).metadata, run, fields)])
        return stored

    async def prepare(
        self, job_id: str, run: str, frames: Sequence[tuple[str, bytes]]
    ) -> tuple[Sequence[StoredFrame | FileFrame], Sequence[HashFields]]:
        """Prepares to store frames of a job, given as name and picture: in a directory they are stored now.

        Each call makes names of its own: an earlier attempt that still runs, perhaps on another version of the
        source, cannot replace a frame that is published.

        Returns:
            The frames, and what is yet to be written to Redis.

        Raises:
            OSError: the volume is full or not writable.
        """
        attempt = secrets.token_hex(6)
        named = {f"{run}:{name}:{attempt}": encoded for name, encoded in frames}
        if (directory := self._directory) is not None:
            files = [
                await asyncio.to_thread(self._write, directory, f"{job_id}:{name}{SUFFIX}", encoded)
                for name, encoded in named.items()
            ]
            return files, ()
        fields = [HashFields(self._names.job(job_id).frames, self._ttl, named)] if named else []
        return [StoredFrame(name) for name in named], fields

    async def get_many(
        self, frames: Sequence[tuple[str, StoredFrame | FileFrame]], pipe: Pipeline
    ) -> tuple[list[bytes | None], list[Any]]:
        """Reads frames, given as job id and frame, in the round trip of other commands.

        Args:
            pipe: has the other commands.

        Returns:
            The frames, None for one that no longer exists or may not be read; the replies to the other commands.
        """
        others, named = len(pipe), dict[str, list[str]]()
        for job_id, frame in frames:
            if isinstance(frame, StoredFrame):
                named.setdefault(job_id, []).append(frame.name)
        for job_id, names in named.items():
            pipe.hmget(self._names.job(job_id).frames, names)
        replies = await pipe.execute()
        stored = {job_id: iter(pictures) for job_id, pictures in zip(named, replies[others:], strict=True)}
        found = [
            next(stored[job_id])
            if isinstance(frame, StoredFrame)
            else await asyncio.to_thread(self._read, Path(frame.path))
            for job_id, frame in frames
        ]
        return found, replies[:others]

    async def delete(self, frames: Sequence[tuple[str, StoredFrame | FileFrame]]) -> None:
        """Deletes frames of the store; files of other services stay."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id, frame in frames:
                if isinstance(frame, StoredFrame):
                    pipe.hdel(self._names.job(job_id).frames, frame.name)
                elif (path := Path(frame.path)).parent == self._directory and path.suffix == SUFFIX:
                    await asyncio.to_thread(path.unlink, missing_ok=True)
            await pipe.execute()

    def _write(self, directory: Path, name: str, encoded: bytes) -> FileFrame:
        """Writes to a temporary name and renames the file, so that no reader sees half a picture."""
        path = directory / name
        partial = path.with_suffix(f".{os.getpid()}{SUFFIX}")
        partial.write_bytes(encoded)
        partial.replace(path)
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._sweep(directory, path.stat().st_mtime)
        return FileFrame(str(path))

    def _sweep(self, directory: Path, now: float) -> None:
        """Deletes expired files; other workers may do the same at the same time.

        Args:
            now: Unix seconds by the clock of the volume, which the clock of this host may differ from.
        """
        oldest = now - self._ttl
        for path in directory.glob(f"*{SUFFIX}"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _read(self, path: Path) -> bytes | None:
        try:
            opened = open_source_file(str(path), self._frame_roots)
        except SourceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in TRANSIENT_ERRNOS:
                raise error.__cause__ from error
            return None
        if opened.is_directory or opened.status.st_size > MAX_FRAME_BYTES:
            return None
        return opened.read(MAX_FRAME_BYTES)
