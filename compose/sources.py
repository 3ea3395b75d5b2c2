"""What is named on the command line: files, folders and patterns, as single sources."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MEDIA = frozenset((
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
    ".ts", ".vob", ".webm", ".wmv", ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp",
))  # fmt: skip
"""What is taken from a folder; a file that is named, or found by a pattern, may be called anything."""


class NoSource(ValueError):
    """Nothing can be found under a name that was given; the text says which."""


class Source(NamedTuple):
    """Attributes:
    path: absolute.
    name: how its outputs are called in a directory: its place below the folder that was named, else its file name.
    """

    path: str
    name: str


def expand(given: Sequence[str]) -> list[Source]:
    """The sources behind the names, each once, those of a folder or a pattern in the order of their names.

    A file that is named and not there is a source too: its job fails and says why.

    Raises:
        NoSource: a folder without media, a pattern that fits nothing, a name that is not UTF-8.
    """
    found: dict[str, Source] = {}
    for text in given:
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
        raise NoSource(f"{text}: no file fits this pattern")
    return [Source(str(file), file.name) for file in files]


def _media(folder: Path) -> list[Source]:
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in MEDIA and p.is_file()]
    if not files:
        raise NoSource(f"{folder}: no video or picture lies in this folder")
    return [Source(str(file), file.relative_to(folder).as_posix()) for file in files]
