"""Expands files, directories and glob patterns of the command line to sources."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.file_names import printable, to_text
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


class NoSource(ValueError):
    """No argument expands to a source; the text says why."""


class Source(NamedTuple):
    """A file to analyse.

    Attributes:
        path: absolute.
        name: of its output files: the path below the directory that was named, else the file name.
        fault: why it cannot be analysed, as a clause.
    """

    path: str
    name: str
    fault: str = ""

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


def expand(arguments: Sequence[str]) -> Sources:
    """Expands the arguments; one that gives nothing to analyse becomes a source with a fault.

    A named file that does not exist is a source too: its job fails with the reason.

    Raises:
        NoSource: no argument gives a source without a fault.
    """
    found: dict[str, Source] = {}
    notes: list[str] = []
    for text in arguments:
        for source in _expand(text, notes):
            found.setdefault(source.path, source)
    faults = [source.fault for source in found.values()]
    if all(faults):
        path, fault = next((source.path, source.fault) for source in found.values())
        raise NoSource(". ".join([printable(f"{path}: {fault}"), *notes]))
    return Sources(list(found.values()), notes)


def _expand(text: str, notes: list[str]) -> Iterator[Source]:
    path = Path(text).absolute()
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        yield Source(str(path), path.name, (error.strerror or str(error)).lower())
        return
    if os.path.isdir(path):  # noqa: PTH112  # unlike Path.is_dir, it does not raise
        yield from _media(path, notes)
        return
    if os.path.lexists(path) or not glob.has_magic(text):
        yield Source(str(path), path.name)
        return
    matches = [Path(match).absolute() for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207
    files = [match for match in matches if os.path.isfile(match) and not _of_the_system(match, text)]  # noqa: PTH113
    yield from (Source(str(file), file.name) for file in files)
    if not files:
        yield Source(str(path), path.name, "no file matches this pattern")


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
    yield from (Source(str(file), file.relative_to(directory).as_posix()) for file in sorted(files))
    if skipped.reasons:
        notes.append(printable(f"{directory}: not analysed: {'; '.join(skipped.reasons)}"))
    if not files:
        yield Source(str(directory), directory.name, "no video or picture in this directory")
