"""Opened files: the descriptor that was checked is the one that is read, whatever its name leads to later.

A path is resolved first, then opened from a root directory downwards, one directory descriptor at a time and without
following a link (O_NOFOLLOW). A link that somebody sets in between is refused by the kernel, so the file opened is
below the root. This has the effect of ``openat2`` with RESOLVE_BENEATH on a path without links, and works on every
kernel.
"""

import errno
import os
import stat
import weakref
from pathlib import Path

from schemas.file_names import to_text

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY_KIND = (
    os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
)  # opens without effects: no wait for a pipe, no device driver


class OpenedFile(os.PathLike[str]):
    """A file or directory that is open for reading.

    As a path (`os.fspath`) it is its descriptor in /proc, which opens this very file again, even after it was renamed
    or deleted. As text it is its name, as requests spell it. The descriptor is closed with the last reference, so
    that no thread that still decodes can read another file under the same number.

    Args:
        path: name, links resolved.

    Attributes:
        status: of the descriptor when it was opened.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._place = f"/proc/self/fd/{descriptor}"
        weakref.finalize(self, os.close, descriptor)
        self.path = path
        self.status = os.fstat(descriptor)

    def __fspath__(self) -> str:
        return self._place

    def __str__(self) -> str:
        return to_text(self.path)

    def read(self, max_bytes: int) -> bytes:
        """Reads the file from its beginning, at most so many bytes."""
        with Path(self).open("rb") as file:
            return file.read(max_bytes)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


def open_below(root: Path, path: Path) -> OpenedFile:
    """Opens a regular file or a directory without following links below the root.

    Args:
        root: a directory, or the file itself.
        path: the root or below it, links resolved.

    Raises:
        OSError: there is no such file, or it may not be read; with ELOOP or ENOTDIR, a link may have been set since
            the path was resolved.
        NotRegular: it is neither a regular file nor a directory; it has not been opened.
    """
    relative = path.relative_to(root).parts
    if not relative and root.parent != root:
        root, relative = root.parent, (root.name,)
    place = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, part in enumerate(relative, 1):
            below = os.open(part, _ANY_KIND if number == len(relative) else _DIRECTORY, dir_fd=place)
            os.close(place)
            place = below
        mode = os.fstat(place).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise NotRegular(mode)
        checked = f"/proc/self/fd/{place}"
        if stat.S_ISDIR(mode) and not os.access(checked, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return OpenedFile(os.open(checked, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)
    finally:
        os.close(place)


class NotRegular(Exception):
    """The file is a pipe, a socket or a device.

    Args:
        mode: its ``st_mode``.
    """

    def __init__(self, mode: int) -> None:
        super().__init__(mode)
        self.mode = mode
