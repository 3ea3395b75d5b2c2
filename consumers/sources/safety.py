"""Which files a request may name, and how much memory they may make this process take."""

import os
import resource
import stat
from collections.abc import Sequence
from pathlib import Path

from facecore.video import SourceError

KERNEL_FILES = (Path("/proc"), Path("/sys"), Path("/dev"))
"""Never media, whatever the roots are: reading them can block, never end, or tell secrets of the process."""
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class MediaFileMissing(SourceError):
    """The path may be read, and nothing is there on this host."""


def resolve(source: str, roots: Sequence[Path]) -> Path:
    """The file that a request names, links resolved: a regular file with something in it that can be read, or a
    directory, below one of the roots or itself a root.

    Args:
        source: absolute path, as the caller gave it.
        roots: directories or single files, links resolved (`Settings.roots`).

    Raises:
        MediaFileMissing: it would be allowed, and is not there.
        SourceError: anything else; the text names the path as it was given, and says why.
    """
    if "://" in source:
        raise SourceError(f"{source} is an address, not the absolute path of a file.")
    if not source.startswith("/") or "\0" in source:
        raise SourceError(f"{source!r} is not the absolute path of a file.")
    try:
        path = Path(source).resolve(strict=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that go round, before Python 3.13
        raise SourceError(f"{source} cannot be looked up: {_reason(error)}.") from error
    # The place is checked before the file is looked at, so that nothing outside the roots can be felt for.
    if not any(path.is_relative_to(root) for root in roots):
        raise SourceError(f"{source} is outside the directories that may be read (FACES_MEDIA_ROOTS).")
    if any(path.is_relative_to(place) for place in KERNEL_FILES):
        raise SourceError(f"{source} is not a media file: it belongs to the operating system.")
    try:
        _check(source, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise MediaFileMissing(f"There is no file at {source}.") from error
        raise SourceError(f"{source} cannot be read: {_reason(error)}.") from error
    return path


def limit_memory(most: int) -> None:
    """A file of a few kB can claim an index of gigabytes. FFmpeg, refused the memory, refuses the file; without a
    bound the kernel kills the process, and all that it is working on.

    Args:
        most: bytes that this process may allocate; a smaller limit that it already has stays.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (most, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))


def _check(source: str, path: Path) -> None:
    # Looked at before it is opened: opening a pipe waits for its writer, opening a device may act on it.
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise SourceError(f"{source} cannot be read: permission denied.")
        return
    _require_regular(source, status)
    # A last component that has become a link since is not followed, a pipe does not block.
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
