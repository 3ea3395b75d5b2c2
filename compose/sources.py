"""Expands files, directories and glob patterns of the command line to sources."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MEDIA_SUFFIXES = frozenset((
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
    ".ts", ".vob", ".webm", ".wmv", ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp",
))  # fmt: skip
"""Files with these suffixes are taken from a directory; files named or matched by a pattern may have any."""


class NoSource(ValueError):
    """An argument expands to no source; the text says which."""


class Source(NamedTuple):
    """A file to analyse.

    Attributes:
        path: absolute.
        name: of its output files: the path below the directory that was named, else the file name.
    """

    path: str
    name: str


def expand(arguments: Sequence[str]) -> list[Source]:
    """The sources that the arguments expand to, without duplicates; those of one argument are sorted by name.

    A named file that does not exist is a source too: its job fails with the reason.

    Raises:
        NoSource: a directory without media, a pattern without a match, a name that is not UTF-8.
    """
    found: dict[str, Source] = {}
    for text in arguments:
        for source in _expand(text):
            found.setdefault(source.path, source)
    for source in found.values():
        try:
            source.path.encode()
        except UnicodeEncodeError as error:
            raise NoSource(f"{source.path!r}: the name is not UTF-8") from error
    return list(found.values())


def _expand(text: str) -> list[Source]:
    path = Path(text).absolute()
    if path.is_dir():
        return _media(path)
    if path.exists() or not glob.has_magic(text):
        return [Source(str(path), path.name)]
    matches = [Path(match).absolute() for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207
    if not (files := [match for match in matches if match.is_file()]):
        raise NoSource(f"{text}: no file matches this pattern")
    return [Source(str(file), file.name) for file in files]


def _media(directory: Path) -> list[Source]:
    files = [p for p in sorted(directory.rglob("*")) if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file()]
    if not files:
        raise NoSource(f"{directory}: no video or picture in this directory")
    return [Source(str(file), file.relative_to(directory).as_posix()) for file in files]
