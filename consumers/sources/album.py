"""A directory or a list of pictures as one source: each picture a frame, one second apart, in the order of the list,
in a directory of their names."""

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
    """The pictures as they lie there: the analyze stage decodes them, and a damaged one is a failed frame with its
    reason. Pictures that come while the job runs, or lie in further directories, are not of it.

    Args:
        pictures: as `pictures_in` or `resolve_all` lists them.
        first: number of the first picture that is wanted.
    """

    method = "album"

    def __init__(self, pictures: list[Path], first: int, pool: ThreadPoolExecutor) -> None:
        self.expected = len(pictures)
        self.warnings: list[str] = []
        self._pictures = pictures
        self._next = first
        self._pool = pool

    async def next_chunk(self) -> list[Frame]:
        numbers = range(self._next, min(self._next + FRAMES_PER_CHUNK, len(self._pictures)))
        self._next = numbers.stop
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, numbers)

    def _read(self, numbers: range) -> list[Frame]:
        return [Frame(number, float(number), _bytes(self._pictures[number])) for number in numbers]


def pictures_in(directory: Path, roots: tuple[Path, ...]) -> list[Path]:
    """Files whose names end as pictures' do, by name; links that lead out of the roots are left out.

    Raises:
        SourceError: there are none.
    """
    found = sorted(file for file in directory.iterdir() if file.suffix.lower() in SUFFIXES)
    inside = [file for file in found if any(file.resolve().is_relative_to(root) for root in roots)]
    if not inside:
        raise SourceError(f"{directory} is a directory without pictures.")
    return inside


def resolve_all(images: list[str], roots: tuple[Path, ...]) -> list[Path]:
    """The files that a request lists, in its order.

    Raises:
        SourceError: one of them may not be read, is not there, or is no file.
    """
    pictures = [resolve(image, roots) for image in images]
    for picture in pictures:
        if picture.is_dir():
            raise SourceError(f"{picture} is a directory; images names files.")
    return pictures


def version_of(pictures: list[Path]) -> str:
    """Changes when a picture comes, goes or is replaced."""
    told = hashlib.sha256()
    for picture in pictures:
        status = picture.stat() if picture.exists() else picture.lstat()  # a link to nowhere
        told.update(f"{picture}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return told.hexdigest()


def _bytes(picture: Path) -> bytes:
    """Nothing for what cannot be read or is too large, which the analyze stage tells of."""
    try:
        if not picture.is_file() or picture.stat().st_size > MAX_FRAME_BYTES:
            return b""
        return picture.read_bytes()
    except (FileNotFoundError, PermissionError):
        return b""
