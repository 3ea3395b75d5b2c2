"""Sources of requests that are files: opened if they may be read, with errors that end jobs."""

from collections.abc import Sequence
from pathlib import Path

from facecore.video import SourceError
from schemas.opened_file import OpenedFile
from schemas.source_files import FileMissing, FileOutside, FileRefused, open_allowed


class MediaFileMissing(SourceError):
    """The path is allowed, but no file exists there on this host."""


class OutsideRoots(SourceError):
    """The path leads out of the directories that may be read."""


def open_source_file(source: str, roots: Sequence[Path]) -> OpenedFile:
    """Opens the file or directory that a request names as `open_allowed` does.

    Raises:
        MediaFileMissing: the path is allowed, but does not exist.
        OutsideRoots: the path is not allowed.
        SourceError: the path cannot be read.
    """
    try:
        return open_allowed(source, roots)
    except FileMissing as error:
        raise MediaFileMissing(str(error)) from error
    except FileOutside as error:
        raise OutsideRoots(str(error)) from error
    except FileRefused as error:
        raise SourceError(str(error)) from error
