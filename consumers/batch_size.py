"""Number of frames in a batch: fewer while several callers send frames."""

import time

COMPANY_SECONDS = 600.0
"""Time after the last change from one caller's messages to another's during which batches are small."""
FRAMES_PER_THREAD = 2
"""Frames of a small batch for each thread of the models, at least."""


class BatchSize:
    """Frames in a batch of the analyze stages of a process.

    A caller that comes waits for the batch in the models and for the one behind it. So batches are half as large
    while several callers send frames. Else they are full, since small ones cost more (two threads, open pack, a face
    a frame: 4 % more processor time in batches of four than of eight).

    Args:
        full: frames of a full batch.
        threads: of the models.
    """

    def __init__(self, full: int, threads: int) -> None:
        self._full = full
        self._small = max(full // 2, min(full, FRAMES_PER_THREAD * threads))
        self._caller: str | None = None
        self._changed = float("-inf")

    def note(self, caller: str) -> None:
        """Notes whose job a message is of."""
        if self._caller is not None and caller != self._caller:
            self._changed = time.monotonic()
        self._caller = caller

    @property
    def size(self) -> int:
        """Most frames of the next batch."""
        return self._small if time.monotonic() - self._changed < COMPANY_SECONDS else self._full
