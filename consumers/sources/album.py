"""Albums: a directory or a list of pictures as a source, one frame per picture and one second apart.

A list keeps its order; the pictures of a directory are sorted by name.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from consumers.sources.content import Content, content_of
from consumers.sources.frame_store import MAX_FRAME_BYTES
from consumers.sources.frames import FRAMES_PER_CHUNK, Frame
from consumers.sources.safety import MediaFileMissing, OutsideRoots, open_source_file
from consumers.sources.segmentation import changed
from consumers.threads import in_thread
from facecore.stopping import stoppable
from facecore.video import SourceError
from schemas.file_names import to_text
from schemas.media import FOLDER, PICTURE_SUFFIXES, Skipped, not_the_owners, why_skipped
from schemas.metadata import Film
from schemas.opened_file import OpenedFile

LINK_OUTSIDE = "a link that leads out of the directories that may be read"
MAX_WARNINGS = 20
"""Pictures that cannot be read and are named in the result; the others are counted."""


class Picture(NamedTuple):
    """One picture of an album.

    Attributes:
        name: path as listed.
        identity: path with its links resolved, times (ns) of the last change of the file and of its status, and
            content of the file; None: it cannot be read.
        fault: why it cannot be read.
    """

    name: str
    identity: tuple[str, tuple[int, int], Content] | None
    fault: str = ""


class Album(NamedTuple):
    """The pictures of an album, and a clause for each reason why something in its folder is none of them."""

    pictures: list[Picture]
    skipped: list[str]

    @property
    def version(self) -> str:
        """Returns a hash that changes when a picture is added, removed, replaced or touched."""
        times = [picture.identity[1] if picture.identity else () for picture in self.pictures]
        return _hash([self.content, *map(str, times), *self.skipped])

    @property
    def content(self) -> str:
        """Returns a hash that changes when a picture is added, removed or replaced."""
        found = [p.identity or (p.name, (), Content(-1, "")) for p in self.pictures]
        return _hash([text for path, _, content in found for text in (path, str(content))])


class AlbumSource:
    """Reads the pictures of an album; the analyze stage decodes them, and a damaged one becomes a failed frame.

    Pictures added while the job runs, and those in subdirectories, are not included.

    Args:
        album: from `pictures_in` or `listed_pictures`.
        first: index of the first picture to read.
    """

    method = "album"

    def __init__(self, album: Album, first: int, pool: ThreadPoolExecutor, roots: Sequence[Path]) -> None:
        pictures = album.pictures
        self.expected = len(pictures)
        self.film = Film()
        faults = [
            f"Picture {number}: {picture.fault}" for number, picture in enumerate(pictures) if picture.fault
        ]
        self.warnings = faults[:MAX_WARNINGS]
        if further := len(faults[MAX_WARNINGS:]):
            self.warnings.append(f"{further} more pictures cannot be read.")
        self.warnings += [f"Not in the album: {clause}." for clause in album.skipped]
        self._pictures = pictures
        self._roots = roots
        self._next = first
        self._pool = pool

    async def next_chunk(self) -> list[Frame]:
        """Reads the next pictures; empty at the end."""
        numbers = range(self._next, min(self._next + FRAMES_PER_CHUNK, len(self._pictures)))
        self._next = numbers.stop
        return await in_thread(self._pool, self._read, numbers)

    def _read(self, numbers: range) -> list[Frame]:
        return [
            Frame(number, float(number), _bytes(self._pictures[number], self._roots)) for number in numbers
        ]


def pictures_in(directory: OpenedFile, roots: Sequence[Path]) -> Album:
    """Lists the picture files of a directory by name, except links to files outside the roots.

    Raises:
        SourceError: the directory has no picture, or cannot be read.
    """
    skipped, pictures = Skipped(), list[Picture]()
    try:
        with os.scandir(directory) as entries:
            files = sorted((entry.name, os.path.isdir(entry.path)) for entry in entries)  # noqa: PTH112
    except OSError as error:
        raise SourceError(f"{directory} cannot be read: {error.strerror}.") from error
    for name, is_folder in stoppable(files):
        reason = not_the_owners(name) or (FOLDER if is_folder else why_skipped(name, PICTURE_SUFFIXES))
        try:
            if reason is None:
                pictures.append(_picture(to_text(directory.path / name), roots))
        except OutsideRoots:
            reason = LINK_OUTSIDE
        if reason is not None:
            skipped.add(to_text(name), reason)
    if not pictures:
        endings = ", ".join(sorted(PICTURE_SUFFIXES))
        found = f" It holds {'; '.join(skipped.reasons)}." if skipped.reasons else ""
        raise SourceError(
            f"{directory} is a directory without pictures (files that end in {endings}).{found}"
        )
    return Album(pictures, skipped.reasons)


def listed_pictures(images: Sequence[str], roots: Sequence[Path]) -> Album:
    """Returns the pictures that a request lists, in its order.

    Raises:
        SourceError: one of them may not be read, does not exist or is a directory.
    """
    return Album([_picture(image, roots, listed=True) for image in stoppable(images)], [])


def _picture(name: str, roots: Sequence[Path], *, listed: bool = False) -> Picture:
    """Identifies a picture. A file that cannot be read costs this picture only, unless a request lists what it cannot
    mean: a path that does not exist, or a directory."""
    try:
        opened = open_source_file(name, roots)
    except OutsideRoots:
        raise
    except MediaFileMissing as error:
        if listed:
            raise
        return Picture(name, None, str(error))
    except SourceError as error:
        return Picture(name, None, str(error))
    if opened.is_directory:
        if listed:
            raise SourceError(f"{opened} is a directory, but `images` must list files.")
        return Picture(name, None, f"{name} is a directory.")
    if opened.status.st_size > MAX_FRAME_BYTES:
        return Picture(name, None, f"{name} is larger than {MAX_FRAME_BYTES >> 20} MiB.")
    try:
        content = content_of(opened)
    except OSError as error:
        return Picture(name, None, f"{name} cannot be read: {error.strerror}.")
    return Picture(name, (str(opened), _times(opened), content))


def _times(file: OpenedFile) -> tuple[int, int]:
    return file.status.st_mtime_ns, file.status.st_ctime_ns  # the second cannot be set


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _bytes(picture: Picture, roots: Sequence[Path]) -> bytes:
    """Reads a picture; empty when it cannot be read, which the analyze stage reports as a failed frame."""
    if picture.identity is None:
        return b""
    opened = open_source_file(picture.name, roots)
    path, times, content = picture.identity
    if str(opened) != path or (_times(opened) != times and content_of(opened) != content):
        raise changed(picture.name)
    return opened.read(MAX_FRAME_BYTES)
