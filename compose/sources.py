"""Expands files, directories, glob patterns and addresses of the command line to sources, and checks them."""

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from schemas.file_names import FILE_URL, printable, to_path, to_text
from schemas.media import (
    LINK,
    PICTURE_SUFFIXES,
    SYSTEM_NAMES,
    UNREADABLE,
    VIDEO_SUFFIXES,
    Skipped,
    not_the_owners,
    why_skipped,
)

MEDIA_SUFFIXES = VIDEO_SUFFIXES | PICTURE_SUFFIXES
"""Files with these suffixes are taken from a directory; files named or matched by a pattern may have any."""
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
"""A name in ASCII, or an address."""


class Source(NamedTuple):
    """A file or address to analyse.

    Attributes:
        path: absolute, or an HTTP address.
        name: of its output files: the path below the directory that was named, else the file name.
        fault: why it cannot be analysed, as a clause.
    """

    path: str
    name: str
    fault: str = ""

    @property
    def is_address(self) -> bool:
        """Whether it is fetched over HTTP."""
        return not self.path.startswith(os.sep)

    @property
    def text(self) -> str:
        """The path as requests and results spell it."""
        return to_text(self.path)


class Sources(NamedTuple):
    """What the arguments expand to.

    Attributes:
        all: without duplicates; those of one argument are sorted by name.
        notes: a sentence for each directory that holds something that is not analysed.
    """

    all: list[Source]
    notes: list[str]


def noun(sources: Sequence[Source]) -> str:
    """Returns what several sources are called: films, pictures, or sources."""
    suffixes = {Path(source.name).suffix.lower() for source in sources}
    if suffixes <= VIDEO_SUFFIXES:
        return "films"
    return "pictures" if suffixes <= PICTURE_SUFFIXES else "sources"


def expand(arguments: Sequence[str]) -> Sources:
    """Expands the arguments; one that gives nothing to analyse becomes a source with a fault."""
    found: dict[str, Source] = {}
    notes: list[str] = []
    for text in arguments:
        for source in _expand(text, notes):
            found.setdefault(source.path, source)
    return Sources(list(found.values()), notes)


def _expand(text: str, notes: list[str]) -> Iterator[Source]:
    if text.startswith(f"{FILE_URL}/"):
        decoded = to_path(text)  # as results spell a path that is not UTF-8
        text = unquote(text.removeprefix(FILE_URL)) if decoded == text else decoded
    elif scheme := SCHEME.match(text):
        yield _address(text, scheme[1].lower())
        return
    if not text:
        yield Source("''", "", "an empty name, not the directory that the command runs in")
        return
    path = Path(text).absolute()
    if os.path.isdir(path):  # noqa: PTH112  # unlike Path.is_dir, it does not raise
        yield from _media(path, notes)
        return
    if os.path.lexists(path) or not glob.has_magic(text):
        yield Source(str(path), path.name, _fault(path))
        return
    matches = [Path(match).absolute() for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207
    files = [match for match in matches if os.path.isfile(match) and not _of_the_system(match, text)]  # noqa: PTH113
    yield from (Source(str(file), file.name, _fault(file)) for file in files)
    if not files:
        yield Source(str(path), path.name, "no file matches this pattern")


def _address(text: str, scheme: str) -> Source:
    try:
        parts = urlsplit(text)
        host, has_user, _ = parts.hostname, parts.username is not None, parts.port
    except ValueError as error:
        return Source(text, "address", f"this is no address: {error}")
    fault = ""
    if scheme not in ("http", "https"):
        fault = (
            f"{scheme}:// cannot be read; addresses begin with http:// or https://, files are given as paths"
        )
    elif not host or not HOST.fullmatch(host):
        fault = "this address names no host in letters, digits, dots and hyphens"
    elif has_user:
        fault = "this address carries a user name or password, which is not sent"
    name = unquote(parts.path).rstrip("/").rpartition("/")[2] or host or "address"
    return Source(text, name, fault)


def _fault(path: Path) -> str:
    """Returns why a file cannot be analysed, as far as that shows without decoding it."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()
    if not stat.S_ISREG(status.st_mode):
        return "this is neither a file nor a directory"
    if not status.st_size:
        return "this file is empty"
    return "" if os.access(path, os.R_OK) else "permission denied"


def _of_the_system(match: Path, pattern: str) -> bool:
    """Returns whether a part of the path that the pattern does not name is of the operating system."""
    return any(part.lower() in SYSTEM_NAMES and part not in pattern for part in match.parts)


def _media(directory: Path, notes: list[str]) -> Iterator[Source]:
    """Yields the media of a directory and those below it; what the owner did not put there is not entered."""
    skipped, files = Skipped(), list[Path]()
    unreadable = list[OSError]()
    for place, folders, names in os.walk(directory, onerror=unreadable.append):
        for name in list(folders):
            is_link = os.path.islink(os.path.join(place, name))  # noqa: PTH114, PTH118
            if reason := not_the_owners(name) or (LINK if is_link else None):
                folders.remove(name)
                skipped.add(name, reason)
        for name in names:
            if reason := why_skipped(name, MEDIA_SUFFIXES):
                skipped.add(name, reason)
            else:
                files.append(Path(place, name))
    for error in unreadable:
        skipped.add(Path(os.fsdecode(error.filename or directory)).name, UNREADABLE)
    yield from (
        Source(str(file), file.relative_to(directory).as_posix(), _fault(file)) for file in sorted(files)
    )
    if skipped.reasons:
        notes.append(printable(f"{directory}: not analysed: {'; '.join(skipped.reasons)}"))
    if not files:
        yield Source(str(directory), directory.name, "no video or picture in this directory")
