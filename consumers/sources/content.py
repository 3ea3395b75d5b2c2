"""Identity of a file by its content: a file that was touched or has grown is still the one that a job began with."""

import hashlib
import os
import stat
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from schemas.opened_file import OpenedFile

BLOCK_BYTES, BLOCKS = 1 << 16, 16
"""Blocks that are hashed, evenly from the head of a file to its tail; a file of at most so many is hashed whole."""
GREW = "The file grew while it was being analysed: the result is about what it held when the job began."


class Content(NamedTuple):
    """What a file held when a job began.

    Attributes:
        size: bytes.
        digest: hash of blocks from the head to the tail of these bytes, hexadecimal.
    """

    size: int
    digest: str

    @classmethod
    def parse(cls, text: str) -> "Content":
        """Returns the content that `str` gave."""
        size, _, digest = text.partition(":")
        return cls(int(size), digest)

    def __str__(self) -> str:
        return f"{self.size}:{self.digest}"


class Version(NamedTuple):
    """A file as a job recorded it: modification time in seconds, and content (None: by an earlier program)."""

    modified: float
    content: Content | None

    @classmethod
    def parse(cls, modified: str, content: str) -> "Version":
        """Returns the version with these fields of a job record."""
        return cls(float(modified), Content.parse(content) if content else None)


def content_of(file: OpenedFile) -> Content:
    """Returns the content of a file, up to the size that it had when it was opened.

    Raises:
        OSError: it cannot be read.
    """
    return Content(file.status.st_size, _digest(file, file.status.st_size))


def begins_with(path: PathLike[str], content: Content) -> bool:
    """Returns whether the file at a path still holds the content at its beginning; False: or cannot be read."""
    try:
        status = Path(path).stat()
        is_whole = stat.S_ISREG(status.st_mode) and status.st_size >= content.size
        return is_whole and _digest(path, content.size) == content.digest
    except OSError:
        return False


def _digest(path: PathLike[str], size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for number in range(BLOCKS):
            last = max(0, size - BLOCK_BYTES)
            place = number * BLOCK_BYTES if size <= BLOCKS * BLOCK_BYTES else last * number // (BLOCKS - 1)
            digest.update(os.pread(file, min(BLOCK_BYTES, max(0, size - place)), place))
    finally:
        os.close(file)
    return digest.hexdigest()
