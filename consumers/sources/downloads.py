"""Downloads: the directory in which a worker keeps the sources that it downloads, for as long as their jobs run."""

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger(__name__)

PREFIX = "faces-downloads-"
LOCK = "lock"
SWEEP_SECONDS = 60.0
"""Time between two searches for directories of killed workers."""


class Downloads:
    """A directory that is locked while its worker lives, and holds one directory for each job.

    The kernel releases the lock of a killed worker. Other workers look for directories without a lock when they start
    and then periodically, and remove them.

    Args:
        parent: directory for temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent or Path(tempfile.gettempdir())
        self._path: Path | None = None
        self._lock: BinaryIO | None = None

    def directory(self) -> tempfile.TemporaryDirectory[str]:
        """Returns a new directory for a job.

        Raises:
            OSError: the volume is full or not writable.
        """
        if self._path is None:
            self._path = self._create()
        return tempfile.TemporaryDirectory(dir=self._path)

    def sweep(self) -> None:
        """Removes the directories of workers that were killed; those of other users are left alone."""
        for path in self._parent.glob(f"{PREFIX}*"):
            with suppress(OSError):  # another worker removes it, or still uses it (BlockingIOError)
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                    continue
                with (path / LOCK).open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                log.info("downloads of a killed worker removed", directory=str(path))

    async def sweep_periodically(self) -> None:
        """Sweeps every `SWEEP_SECONDS` until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await asyncio.to_thread(self.sweep)

    def close(self) -> None:
        """Removes the directory."""
        if self._path is not None and self._lock is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._lock.close()
            self._path = self._lock = None

    def _create(self) -> Path:
        """Creates the directory under another name and locks it, so that it is never found unlocked."""
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=self._parent))
        self._lock = (hidden / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return hidden.rename(self._parent / hidden.name[1:])
