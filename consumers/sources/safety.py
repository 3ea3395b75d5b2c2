"""Limits on sources: which files a request may name, and how much memory the process may allocate."""

import os
import resource
import stat
from collections.abc import Sequence
from pathlib import Path

from facecore.video import SourceError

KERNEL_FILES = (Path("/proc"), Path("/sys"), Path("/dev"))
"""Directories without media, whatever the roots are: reading there can block, never end, or expose secrets."""
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class MediaFileMissing(SourceError):
    """The path is allowed, but no file exists there on this host."""


def resolve(source: str, roots: Sequence[Path]) -> Path:
    """Resolves the path of a request to a file or a directory that may be read.

    Args:
        source: absolute path, as the caller gave it.
        roots: directories or single files that may be read, links resolved (`Settings.roots`).

    Returns:
        The path with its links resolved: a readable regular file that is not empty, or a directory, and one of the
        roots or below one of them.

    Raises:
        MediaFileMissing: the path is allowed, but does not exist.
        SourceError: the path may not or cannot be read; the text names it as given, and the reason.
    """
    if "://" in source:
        raise SourceError(f"{source} is a URL, not the absolute path of a file.")
    if not source.startswith("/") or "\0" in source:
        raise SourceError(f"{source!r} is not the absolute path of a file.")
    try:
        path = Path(source).resolve(strict=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise SourceError(f"{source} cannot be resolved: {_reason(error)}.") from error
    # Checked before the file is accessed, so that a request cannot learn what exists outside the roots.
    if not any(path.is_relative_to(root) for root in roots):
        raise SourceError(f"{source} is outside the directories that may be read (FACES_MEDIA_ROOTS).")
    if any(path.is_relative_to(directory) for directory in KERNEL_FILES):
        raise SourceError(f"{source} is not a media file: it belongs to the operating system.")
    try:
        _check(source, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise MediaFileMissing(f"There is no file at {source}.") from error
        raise SourceError(f"{source} cannot be read: {_reason(error)}.") from error
    return path


def limit_memory(max_bytes: int) -> None:
    """Limits the memory that this process may allocate (RLIMIT_DATA).

    A file of a few kB can declare an index of gigabytes. With a limit, FFmpeg fails to allocate the memory and
    refuses the file; without one, the kernel kills the process, and all its jobs have to start again.

    Args:
        max_bytes: a smaller limit that the process already has stays.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (max_bytes, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))


def _check(source: str, path: Path) -> None:
    # Before opening: opening a pipe waits for a writer, and opening a device may have effects.
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise SourceError(f"{source} cannot be read: permission denied.")
        return
    _require_regular(source, status)
    # Should the path have changed since: O_NOFOLLOW refuses a link, O_NONBLOCK does not wait for a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _require_regular(source, status)
        if not status.st_size:
            raise SourceError(f"{source} is empty.")
    finally:
        os.close(descriptor)


def _require_regular(source: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise SourceError(f"{source} is {kind}, not a video or picture file.")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
