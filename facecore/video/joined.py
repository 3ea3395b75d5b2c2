"""Joined files: FLV, MP4, Matroska, WebM, AVI or ASF files one after another in one file, of which FFmpeg reads the
first, or mixes them up; MPEG-TS where the codec changes.

Others (MPEG-TS of one codec, MPEG-PS) are read on across the joint; `timeline` continues their clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice, pairwise
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from facecore.stopping import stoppable
from facecore.video.byte_range import ByteRange
from facecore.video.program_map import changes, joints

EBML = b"\x1a\x45\xdf\xa3"
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
FLV_SIGNATURE = b"FLV\x01"
FLV_TAGS = frozenset({8, 9, 18})
"""Tag types: sound, picture, data (Adobe Flash Video File Format Specification 10.1, E.4.1)."""
MAX_PARTS = 1000
"""Files that are looked for in one file; the last one may be several."""
MAX_UNITS = 5_000_000
"""Tags or boxes of a file that are walked through; a film of a day has fewer."""


def parts_of(path: PathLike[str]) -> list[ByteRange]:
    """Returns the files that one file is joined of, in order; empty for a single one, and for a transport stream."""
    with _opened(path) as (file, whole):
        file.seek(whole.start)
        head = file.read(8)
        if head[:4] == FLV_SIGNATURE:
            return _divided(whole, _flv_starts(file, whole.start, whole.end))
        if head[:4] == EBML:
            return _divided(whole, _matroska_starts(file, whole.start, whole.end))
        if head[:4] == b"RIFF":
            return _divided(whole, _avi_starts(file, whole.start, whole.end))
        if head == ASF_HEADER[:8]:
            return _divided(whole, _asf_starts(file, whole.start, whole.end))
        if head[4:8] == b"ftyp":
            return _divided(whole, _mp4_starts(file, whole.start, whole.end))
        return []


def transport_parts_of(path: PathLike[str], *, is_continuous: bool = False) -> list[ByteRange]:
    """Returns the parts of a file whose pictures are streams of their own, in order; empty unless it is a transport
    stream in which they change.

    Args:
        is_continuous: the timestamps have no discontinuity: the whole file is read only if its end differs.
    """
    with _opened(path) as (file, whole):
        if is_continuous and not changes(file, whole.start, whole.end):
            return []
        return _divided(whole, chain([whole.start], joints(file, whole.start, whole.end)))


@contextmanager
def _opened(path: PathLike[str]) -> Iterator[tuple[BinaryIO, ByteRange]]:
    with Path(path).open("rb") as file:
        yield file, path if isinstance(path, ByteRange) else ByteRange(path, 0, file.seek(0, 2))


def _divided(whole: ByteRange, starts: Iterator[int]) -> list[ByteRange]:
    places = [*islice(starts, MAX_PARTS), whole.end]
    return [ByteRange(whole.path, *part) for part in pairwise(places)] if len(places) > 2 else []


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


def _matroska_starts(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Yields where a file begins: an EBML header after the element of all contents (RFC 8794, RFC 9559)."""
    position = start
    for _ in stoppable(range(MAX_UNITS)):
        if position + 12 > end:
            return
        file.seek(position)
        header = file.read(12)
        name_bytes = 9 - header[0].bit_length()
        if name_bytes > 4 or not header[name_bytes]:
            return
        if header[:4] == EBML:
            yield position
        size_bytes = 9 - header[name_bytes].bit_length()
        bits = 7 * size_bytes
        size = int.from_bytes(header[name_bytes : name_bytes + size_bytes]) & ((1 << bits) - 1)
        position += name_bytes + size_bytes
        if size != (1 << bits) - 1:  # unknown, as in live recordings: what it contains follows
            position += size


def _avi_starts(file: BinaryIO, position: int, end: int) -> Iterator[int]:
    """Yields where a file begins; long files continue in lists of the type AVIX (OpenDML 1.02)."""
    for _ in stoppable(range(MAX_UNITS)):
        file.seek(position)
        header = file.read(12)
        if position >= end or header[:4] != b"RIFF":
            return
        if header[8:] == b"AVI ":
            yield position
        size = int.from_bytes(header[4:8], "little")
        position += 8 + size + size % 2


def _asf_starts(file: BinaryIO, position: int, end: int) -> Iterator[int]:
    """Yields where a file begins: a header object (ASF 1.2, 3)."""
    for _ in stoppable(range(MAX_UNITS)):
        file.seek(position)
        header = file.read(24)
        if header[:16] == ASF_HEADER and position < end:
            yield position
        size = int.from_bytes(header[16:24], "little")
        if position + size >= end or size < 24:
            return
        position += size


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
