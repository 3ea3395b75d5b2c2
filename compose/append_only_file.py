"""Append-only files of the embedded server: removes the gaps that a full disk leaves in them."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

COPY_BYTES = 1 << 20
"""Of a file that are in memory at a time."""


def remove_gaps(file: Path) -> int:
    """Removes runs of zero bytes between two commands; returns how many bytes these were.

    The server cannot load a file with gaps. They hold nothing: when the disk takes only a part of a write, the server
    cuts that part off and later repeats the whole write. In a file that it has begun in a rewrite, it does so without
    going back to the end, since it has not opened that file for appending (Valkey 9.1, Redis 7 and 8).

    Raises:
        OSError: the file cannot be read, or there is no room for its copy.
    """
    if not file.stat().st_size:
        return 0
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
        gaps = list(_gaps(text))
        if not gaps:
            return 0
        copy = file.with_name(f"{file.name}.repaired")
        try:
            with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                start = 0
                for gap_start, gap_end in [*gaps, (len(text), len(text))]:
                    source.seek(start)
                    while start < gap_start:
                        chunk = source.read(min(gap_start - start, COPY_BYTES))
                        start += target.write(chunk)
                    start = gap_end
                target.flush()
                os.fsync(target.fileno())
            copy.replace(file)
        finally:
            copy.unlink(missing_ok=True)
    return sum(end - start for start, end in gaps)


def _gaps(text: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yields start and end of each gap. Ends where the text is neither a command of the protocol nor a gap."""
    at, size = 0, len(text)
    while at < size:
        if text[at] == 0:
            start = at
            while at < size and text[at] == 0:
                at += 1
            yield start, at
            continue
        arguments, at = _number(text, at, b"*")
        for _ in range(arguments):
            length, at = _number(text, at, b"$")
            if at < 0:
                return
            at += length + 2
        if at < 0:
            return


def _number(text: mmap.mmap, at: int, mark: bytes) -> tuple[int, int]:
    """Parses a line of a mark and a number; returns the number and the start of the next line, -1 for any other."""
    end = text.find(b"\r\n", at, at + 24)
    digits = text[at + 1 : end]
    if end < 0 or text[at : at + 1] != mark or not digits.isdigit():
        return 0, -1
    return int(digits), end + 2
