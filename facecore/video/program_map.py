"""Joints of MPEG transport streams at which the picture becomes another stream: another codec, another identifier, or
none (ISO/IEC 13818-1, 2.4.4). FFmpeg would decode on with the decoder of the first stream."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from facecore.stopping import raise_if_stopped

SYNC, PACKET_BYTES = 0x47, (188, 192, 204)
"""First byte of a packet, and the sizes: plain, with a time code in front (M2TS), with parity behind."""
STARTS = 0x40
"""Bit of the second byte of a packet in which a table begins."""
HEAD_BYTES, CHUNK_BYTES = 1 << 16, 8 << 20
"""Beginning of a file in which a transport stream shows, and bytes that are read at a time."""
SAMPLE_BYTES = 1 << 20
"""Beginning and end of a file that are compared; tables are repeated several times a second."""
CHECKED_PACKETS = 5
"""Packets whose first byte shows how packets lie in a file."""
PICTURE_TYPES = frozenset({0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xEA})
"""Types of elementary streams that are pictures: MPEG-1, MPEG-2, MPEG-4, H.264 (and MVC), HEVC, VVC, AVS, Dirac,
AVS2, VC-1."""

Pictures = frozenset[tuple[int, int]]
"""Packet identifier and type of the streams of pictures of a program."""


def changes(file: BinaryIO, start: int, end: int) -> bool:
    """Returns whether the end of a transport stream has other streams of pictures than its beginning, or it is
    short."""
    file.seek(start)
    head = file.read(PACKET_BYTES[0])
    if SYNC not in (head[:1] + head[4:5]):
        return False
    if end - start <= 2 * SAMPLE_BYTES:
        return True
    beginning = {pictures for *_, pictures in _maps(file, start, start + SAMPLE_BYTES)}
    ending = {pictures for *_, pictures in _maps(file, end - SAMPLE_BYTES, end)}
    return not ending <= beginning


def joints(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Yields the positions from which on a program has other streams of pictures than before."""
    table, before, known = b"", dict[int, Pictures](), dict[int, Pictures]()
    for position, of_programs, program, pictures in _maps(file, start, end):
        if of_programs != table:
            table, before, known = of_programs, known or before, {}
        if pictures != known[program] if program in known else before and pictures not in before.values():
            yield position
        known[program], before = pictures, {}


def _maps(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes, int, Pictures]]:
    """Yields the program maps: position and content of the table of programs before it, program, pictures."""
    file.seek(start)
    if _layout(head := file.read(min(HEAD_BYTES, end - start)))[0] >= len(head):
        return  # no transport stream
    position_of_table, table = start, b""
    identifiers: set[int] = set()  # of the packets with program maps
    for position, packet in _first_packets(file, start, end, identifiers):
        section = _section(packet)
        if _identifier(packet) == 0:
            position_of_table, table = position, section[8:-4]  # without its version
            identifiers |= {int.from_bytes(table[at : at + 2]) & 0x1FFF for at in range(2, len(table), 4)}
        elif section[:1] == b"\2":
            yield position_of_table, table, int.from_bytes(section[3:5]), _pictures(section)


def _first_packets(
    file: BinaryIO, start: int, end: int, identifiers: set[int]
) -> Iterator[tuple[int, bytes]]:
    """Yields position and bytes of the packets in which a program association table or a program map begins."""
    position = start
    while position + PACKET_BYTES[0] <= end:
        raise_if_stopped()
        file.seek(position)
        data = file.read(min(CHUNK_BYTES, end - position))
        first, size = _layout(data)
        rows = np.frombuffer(data, np.uint8, max(0, len(data) - first) // size * size, first).reshape(
            -1, size
        )
        wrong = np.flatnonzero(rows[:, 0] != SYNC)
        count = int(wrong[0]) if len(wrong) else len(rows)
        beginning = np.flatnonzero(rows[:count, 1] & STARTS)
        named = (rows[beginning, 1].astype(int) & 0x1F) << 8 | rows[beginning, 2]
        for row, identifier in zip(beginning.tolist(), named.tolist(), strict=True):
            if identifier == 0 or identifier in identifiers:
                yield position + first + row * size, rows[row].tobytes()
        position += first + max(1, count) * size


def _layout(data: bytes) -> tuple[int, int]:
    """Returns where the first packet is, and the size of packets; at the end of the data, where there is none."""
    first = data.find(SYNC)
    while first >= 0:
        for size in PACKET_BYTES:
            places = range(first, len(data), size)[:CHECKED_PACKETS]
            if (first == 0 or len(places) == CHECKED_PACKETS) and all(data[at] == SYNC for at in places):
                return first, size
        first = data.find(SYNC, first + 1)
    return len(data), PACKET_BYTES[0]


def _identifier(packet: bytes) -> int:
    return int.from_bytes(packet[1:3]) & 0x1FFF


def _section(packet: bytes) -> bytes:
    """Returns the table that begins in a packet, without what follows in the next one."""
    start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    section = packet[start + 1 + packet[start] : PACKET_BYTES[0]] if start < PACKET_BYTES[0] else b""
    return section[: 3 + (int.from_bytes(section[1:3]) & 0xFFF)]


def _pictures(section: bytes) -> Pictures:
    """Returns the streams of pictures that a program map names."""
    found = set()
    at = 12 + (int.from_bytes(section[10:12]) & 0xFFF)
    while at + 5 <= len(section) - 4:
        if section[at] in PICTURE_TYPES:
            found.add((int.from_bytes(section[at + 1 : at + 3]) & 0x1FFF, section[at]))
        at += 5 + (int.from_bytes(section[at + 3 : at + 5]) & 0xFFF)
    return frozenset(found)
