"""A part of a file that is read as a file of its own."""

import os


class ByteRange(os.PathLike[str]):
    """The bytes of a file from ``start`` up to ``end``; what is written behind them later is not read.

    As a path (`os.fspath`) and as text it is the file.
    """

    def __init__(self, path: os.PathLike[str], start: int, end: int) -> None:
        self.path = path
        self.start = start
        self.end = end

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)


def location(path: os.PathLike[str]) -> tuple[str, str]:
    """Returns the URL with which FFmpeg opens a path, and the protocols that it needs.

    The protocol ``subfile`` reads a range (https://ffmpeg.org/ffmpeg-protocols.html#subfile).
    """
    absolute = os.path.abspath(path)  # noqa: PTH100  # links stay: a descriptor in /proc is one
    if isinstance(path, ByteRange):
        return f"subfile,,start,{path.start},end,{path.end},,:{absolute}", "file,subfile"
    return absolute, "file"
