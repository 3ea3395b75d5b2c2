"""Memory for decoded pictures: a budget of bytes that the jobs of a process share, and the limit of the process."""

import asyncio
import gc
import random
import resource
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from consumers.runtime.stage import Retry
from facecore.video import SourceError
from facecore.video.memory import used_bytes

PICTURE_SHARE = 3
"""Pictures may take a third of the memory at a time: models, decoders and encoded copies need the rest."""


PAUSE_SECONDS = 30.0
"""Longest pause before the next attempt of a job that lacked memory: by then others may have ended."""
SMALL_BYTES = 32 << 20
"""Pictures that take less are decoded at once: none that is small waits for the large ones of others."""


class MemoryBudget:
    """Bytes that may be in use at the same time; requests wait for their turn in order.

    A task reserves once and never waits for a second reservation while it holds one, so that none waits forever.

    Args:
        memory: bytes that the process may use (`Settings.memory_bytes`).
    """

    def __init__(self, memory: int) -> None:
        self.total = memory // PICTURE_SHARE
        self._free = self.total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def check(self, size: int) -> None:
        """Raises SourceError when a picture can never be decoded within the budget."""
        if size > self.total:
            raise SourceError(
                f"Decoding takes about {size >> 20} MiB; a worker has {self.total >> 20} MiB for pictures"
                " (a third of FACES_MAX_MEMORY)."
            )

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Holds so many bytes of the budget; waits until they are free, unless they are few.

        Raises:
            SourceError: the budget is smaller.
        """
        self.check(size)
        if size < SMALL_BYTES:
            yield
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(size)
            else:
                self._waiting.remove((size, turn))
                self._admit()
            raise
        try:
            yield
        finally:
            self._release(size)

    def groups(self, sizes: Sequence[int]) -> list[list[int]]:
        """Divides pictures, given by their sizes, into groups that are decoded together.

        A group takes at most half of the budget, so that the next one can be decoded meanwhile, or is one picture.
        """
        groups: list[list[int]] = []
        used = self.total
        for number, size in enumerate(sizes):
            if not groups or used + size > self.total // 2:
                groups.append([])
                used = 0
            groups[-1].append(number)
            used += size
        return groups

    def _release(self, size: int) -> None:
        self._free += size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= size
                turn.set_result(None)


def limit_memory(max_bytes: int) -> None:
    """Limits the memory that this process may allocate (RLIMIT_DATA).

    A file of a few kB can declare an index of gigabytes. With a limit, FFmpeg fails to allocate the memory and
    refuses the file; without one, the kernel kills the process, and all its jobs have to start again.

    Args:
        max_bytes: a smaller limit that the process already has stays.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (max_bytes, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))


def out_of_memory(source: str, limit: int) -> Exception:
    """Returns the error of a job for which an allocation failed, after its own memory was freed.

    Where the other jobs of the process use less than half of the limit, the file asked for more than a job may have,
    and would again. Else the job is delivered again later, perhaps to another worker.

    Args:
        limit: of the process in bytes.
    """
    gc.collect()  # tracebacks form cycles, which hold what the job has allocated
    if used_bytes() < limit // 2:
        return SourceError(
            f"{source} needs more memory than a worker may allocate: {limit >> 20} MiB (FACES_MAX_MEMORY)."
        )
    text = f"The worker has used up its memory: {limit >> 20} MiB (FACES_MAX_MEMORY)."
    return Retry(text, random.uniform(0.5, 1.0) * PAUSE_SECONDS)
