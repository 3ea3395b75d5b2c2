"""Append-only files of the embedded server: closes the gaps that a full disk leaves in them.

When the disk takes only a part of a write, the server cuts that part off and later repeats the whole write. In a file
that it has begun in a rewrite, it does so without going back to the end, since it has not opened that file for
appending (Valkey 9.1, Redis 7 and 8). A gap of zeros is left, with which the server cannot load the file. At the next
full disk it would cut off too much, since it does not count the gap.
"""

import asyncio
import contextlib
import mmap
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

COPY_BYTES = 1 << 20
"""Of a file that are in memory at a time."""


CHECK_SECONDS = 1.0
"""Between two comparisons of the files with what the server knows of them."""


@contextlib.asynccontextmanager
async def keeping_whole(redis: Redis, data: Path) -> AsyncIterator[None]:
    """Has the server write its files anew, from its memory, whenever they have a gap."""
    keeper = asyncio.create_task(_keep_whole(redis, data / "appendonlydir"))
    try:
        yield
    finally:
        keeper.cancel()


async def _keep_whole(redis: Redis, folder: Path) -> None:
    gaps = False
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        size = await asyncio.to_thread(_size, folder)
        try:
            known = await redis.info("persistence")
            healthy = known["aof_last_write_status"] == "ok" and not known["aof_rewrite_in_progress"]
            before, gaps = gaps, healthy and size > known["aof_current_size"]
            if before and gaps:  # once alone: the files were exchanged between both looks
                await redis.bgrewriteaof()
        except RedisError:  # the server restarts, or is in trouble
            gaps = False


def _size(folder: Path) -> int:
    """Returns the bytes of the files that the server would load; 0 while it exchanges them."""
    try:
        lines = (folder / "appendonly.aof.manifest").read_text().splitlines()
        fields = [line.split() for line in lines]
        return sum((folder / name).stat().st_size for _, name, *_, kind in fields if kind in "bi")
    except (FileNotFoundError, ValueError):
        return 0


def remove_gaps(file: Path) -> int:
    """Removes runs of zero bytes between two commands; returns how many bytes these were.

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
