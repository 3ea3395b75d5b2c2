"""Data directory of ``faces up``: private to one user, used by one service at a time."""

import asyncio
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from compose.supervisor import ProcessFailed

LOCK, URL, CONFIGURATION, SOCKET = "faces.lock", "redis-url", "server.conf", "server.sock"
LOG = "faces.log"
_OURS = frozenset(
    (LOCK, URL, CONFIGURATION, SOCKET, LOG, f"{LOG}.1", "service.json", "appendonlydir", "dump.rdb")
)
"""Names of what `faces up` keeps in its directory."""
HANDOVER_SECONDS = 10.0
"""How long the server of a service that was killed may take to stop: it keeps the lock until then."""


class InUse(ProcessFailed):
    """Another service or command uses the directory."""


@contextlib.asynccontextmanager
async def private_directory(data: Path) -> AsyncIterator[int]:
    """Creates the directory where it is missing, and holds its lock.

    Yields:
        File descriptor of the lock. A process that inherits it keeps the lock until it ends as well.

    Raises:
        ProcessFailed: the directory cannot be made, other users can open it, or another service uses it (`InUse`).
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ProcessFailed(f"{data} is no directory; give another --data") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProcessFailed(f"{data} cannot be made: {reason}; give another --data") from error
    _make_private(data)
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + HANDOVER_SECONDS
        while not _locked(descriptor):
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace")
            if _alive(holder) or time.monotonic() > deadline:
                raise InUse(
                    f"{data} is in use by process {holder or 'of unknown number'}; stop it, or give another --data"
                )
            await asyncio.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} ({' '.join(sys.argv)[:1000]})".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def owner(data: Path) -> int | None:
    """Returns the number of the process that holds the lock of a directory; None: nobody does."""
    try:
        descriptor = os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if _locked(descriptor, fcntl.LOCK_SH):
            return None
        pid = os.pread(descriptor, 4096, 0).decode(errors="replace").partition(" ")[0]
        return int(pid) if pid.isdigit() and Path("/proc", pid).exists() else None
    finally:
        os.close(descriptor)


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its user can read."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)


def _make_private(data: Path) -> None:
    status = data.stat()
    if status.st_uid != os.geteuid():
        raise ProcessFailed(f"{data} belongs to another user; give another --data")
    if not status.st_mode & 0o077:
        return
    if any(entry.name not in _OURS for entry in data.iterdir()):
        raise ProcessFailed(f"{data} can be opened by other users; chmod 700 it, or give another --data")
    data.chmod(0o700)  # made by an earlier version, or empty


def _locked(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(holder: str) -> bool:
    pid = holder.partition(" ")[0]
    return pid.isdigit() and Path("/proc", pid).exists()
