"""Limits on sources: which files a request may name, and opening them once, as they were checked."""

import errno
import stat
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from schemas.file_names import to_path
from schemas.opened_file import NotRegular, OpenedFile, open_below

KERNEL_FILES = (Path("/proc"), Path("/sys"), Path("/dev"))
"""Directories without media, unless a root lies there: reading there can block, never end, or expose secrets."""
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


MAX_TRIES = 3
"""Times that a path is resolved and opened: a link may be replaced in between, but not every time."""


class FileRefused(Exception):
    """The file cannot be used; the text names it as given, and the reason."""


class FileMissing(FileRefused):
    """The path is allowed, but no file exists there on this host."""


class FileOutside(FileRefused):
    """The path leads out of the directories that may be read."""


def open_allowed(source: str, roots: Sequence[Path]) -> OpenedFile:
    """Opens the file or directory that a request names, if it may be read.

    Args:
        source: absolute path, or ``file:`` URL of one, as the caller gave it.
        roots: directories or single files that may be read, links resolved (`Settings.roots`).

    Returns:
        A regular file that is not empty, or a directory: one of the roots or below one of them. Links are followed as
        long as they lead there.

    Raises:
        FileMissing: the path is allowed, but does not exist.
        FileOutside: the path is not allowed.
        FileRefused: the path cannot be read; the text names it as given, and the reason.
    """
    place = to_path(source)
    if not place.startswith("/") and "://" in place:
        raise FileRefused(f"{source} is a URL, not the absolute path of a file.")
    if not place.startswith("/") or "\0" in place:
        raise FileRefused(f"{source!r} is not the absolute path of a file.")
    for tries in count(1):
        path, root = _resolved(source, place, roots)
        try:
            opened = open_below(root, path)
        except NotRegular as error:
            kind = KINDS.get(stat.S_IFMT(error.mode), "not a regular file")
            raise FileRefused(f"{source} is {kind}, not a video or picture file.") from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and tries < MAX_TRIES:
                continue
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise FileMissing(f"There is no file at {source}.") from error
            raise FileRefused(f"{source} cannot be read: {_reason(error)}.") from error
        if not opened.is_directory and not opened.status.st_size:
            raise FileRefused(f"{source} is empty.")
        return opened
    raise AssertionError("the last try returns or raises")


def _resolved(source: str, place: str, roots: Sequence[Path]) -> tuple[Path, Path]:
    """Returns the path with its links resolved, and the root that it is below. Nothing is opened, so that a request
    cannot learn what exists outside the roots."""
    try:
        path = Path(place).resolve(strict=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise FileRefused(f"{source} cannot be resolved: {_reason(error)}.") from error
    root = max((r for r in roots if path.is_relative_to(r)), key=lambda r: len(r.parts), default=None)
    if root is None:
        raise FileOutside(f"{source} is outside the directories that may be read (FACES_MEDIA_ROOTS).")
    if any(path.is_relative_to(d) and not root.is_relative_to(d) for d in KERNEL_FILES):
        raise FileOutside(f"{source} is not a media file: it belongs to the operating system.")
    return path, root


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "too many levels of symbolic links" if isinstance(error, RuntimeError) else str(error)
