"""Albums: a directory or a list of pictures as a source, one frame per picture and one second apart.

A list keeps its order; the pictures of a directory are sorted by name.
"""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from consumers.sources.frame_store import MAX_FRAME_BYTES
from consumers.sources.frames import FRAMES_PER_CHUNK, Frame
from consumers.sources.safety import resolve
from facecore.video import SourceError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".bmp"})


class AlbumSource:
    """Reads the pictures of an album; the analyze stage decodes them, and a damaged one becomes a failed frame.

    Pictures added while the job runs, and those in subdirectories, are not included.

    Args:
        pictures: from `pictures_in` or `resolve_all`.
        first: index of the first picture to read.
    """

    method = "album"

    def __init__(self, pictures: list[Path], first: int, pool: ThreadPoolExecutor) -> None:
        self.expected = len(pictures)
        self.warnings: list[str] = []
        self._pictures = pictures
        self._next = first
        self._pool = pool

    async def next_chunk(self) -> list[Frame]:
        """Reads the next pictures; empty at the end."""
        numbers = range(self._next, min(self._next + FRAMES_PER_CHUNK, len(self._pictures)))
        self._next = numbers.stop
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, numbers)

    def _read(self, numbers: range) -> list[Frame]:
        return [Frame(number, float(number), _bytes(self._pictures[number])) for number in numbers]


def pictures_in(directory: Path, roots: tuple[Path, ...]) -> list[Path]:
    """Lists the picture files of a directory by name, except links to files outside the roots.

    Raises:
        SourceError: the directory has no picture.
    """
    found = sorted(file for file in directory.iterdir() if file.suffix.lower() in SUFFIXES)
    inside = [file for file in found if any(file.resolve().is_relative_to(root) for root in roots)]
    if not inside:
        endings = ", ".join(sorted(SUFFIXES))
        raise SourceError(f"{directory} is a directory without pictures (files that end in {endings}).")
    return inside


def resolve_all(images: list[str], roots: tuple[Path, ...]) -> list[Path]:
    """Resolves the files that a request lists, in its order.

    Raises:
        SourceError: one of them may not be read, does not exist or is a directory.
    """
    pictures = [resolve(image, roots) for image in images]
    for picture in pictures:
        if picture.is_dir():
            raise SourceError(f"{picture} is a directory, but `images` must list files.")
    return pictures


def version_of(pictures: list[Path]) -> str:
    """Returns a hash of paths, sizes and modification times: changes when a picture is added, removed or replaced."""
    digest = hashlib.sha256()
    for picture in pictures:
        status = picture.stat() if picture.exists() else picture.lstat()  # a dangling link
        digest.update(f"{picture}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _bytes(picture: Path) -> bytes:
    """Reads a picture; empty when it cannot be read or is too large, which the analyze stage reports."""
    try:
        if not picture.is_file() or picture.stat().st_size > MAX_FRAME_BYTES:
            return b""
        return picture.read_bytes()
    except (FileNotFoundError, PermissionError):
        return b""
