"""Joined files: FLV or MP4 files one after another in one file, of which FFmpeg reads the first or mixes them up.

Other containers (MPEG-TS, MPEG-PS, Matroska, WebM) are read on across the joint; `timeline` continues their clock.
"""

from collections.abc import Iterator
from itertools import islice, pairwise
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from facecore.stopping import stoppable
from facecore.video.byte_range import ByteRange

FLV_SIGNATURE = b"FLV\x01"
FLV_TAGS = frozenset({8, 9, 18})
"""Tag types: sound, picture, data (Adobe Flash Video File Format Specification 10.1, E.4.1)."""
MAX_UNITS = 5_000_000
"""Tags or boxes of a file that are walked through; a film of a day has fewer."""


def parts_of(path: PathLike[str]) -> list[ByteRange]:
    """Returns the files that one file is joined of, in order; empty for a single one."""
    with Path(path).open("rb") as file:
        whole = path if isinstance(path, ByteRange) else ByteRange(path, 0, file.seek(0, 2))
        end = whole.end
        file.seek(whole.start)
        head = file.read(8)
        if head[:4] == FLV_SIGNATURE:
            starts = list(_flv_starts(file, whole.start, end))
        elif head[4:8] == b"ftyp":
            starts = list(_mp4_starts(file, whole.start, end))
        else:
            return []
    return [ByteRange(whole.path, *part) for part in pairwise([*starts, end])] if len(starts) > 1 else []


def top_boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields position and type of the boxes of an MP4 file that lie in no other (ISO/IEC 14496-12, 4.2)."""
    while position + 8 <= end:
        file.seek(position)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4]), header[4:8]
        yield position, kind
        size = int.from_bytes(header[8:]) if size == 1 else size
        if size < 8:  # 0: up to the end of the file
            return
        position += size


def _mp4_starts(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Yields where a file begins: a box ``ftyp`` after the index of the file before."""
    yield start
    has_index = False
    for position, kind in islice(stoppable(top_boxes(file, start, end)), MAX_UNITS):
        has_index = has_index or kind == b"moov"
        if kind == b"ftyp" and has_index:
            yield position
            has_index = False


def _flv_starts(file: BinaryIO, position: int, end: int) -> Iterator[int]:
    """Yields where a file begins, up to a damaged tag."""
    for _ in stoppable(range(MAX_UNITS)):
        file.seek(position)
        header = file.read(11)
        if header[:4] == FLV_SIGNATURE and position < end:
            yield position
            position += int.from_bytes(header[5:9]) + 4
        elif position + 11 <= end and header[0] & 0x1F in FLV_TAGS:
            position += 11 + int.from_bytes(header[1:4]) + 4
        else:
            return
