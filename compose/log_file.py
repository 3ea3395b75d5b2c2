"""The log file of ``faces up``: bounded, and written on after a full disk."""

import os
from pathlib import Path
from typing import TextIO

MAX_BYTES = 16 << 20
"""Length at which the file becomes NAME.1, in place of an earlier one."""


class LogFile:
    """Log lines of all processes, in a file that only its user can read.

    Args:
        screen: receives the lines as well; None: nothing does.
    """

    def __init__(self, path: Path, screen: TextIO | None = None) -> None:
        self.path = path
        self._screen = screen
        self._file: TextIO | None = None
        self._lost = 0

    def write(self, line: str) -> None:
        """Writes a line; one that the disk has no room for is counted, and the next that it has room for says so."""
        if self._screen is not None:
            self._screen.write(line)
            self._screen.flush()
        try:
            file = self._opened()
            if self._lost:
                file.write(f"{self._lost} lines are missing here: the disk was full\n")
            file.write(line)
            file.flush()
        except OSError:
            self._lost += 1
            self.close()
        else:
            self._lost = 0

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:  # what was not written yet is counted by `write`
                return

    def _opened(self) -> TextIO:
        if self._file is not None and self._file.tell() >= MAX_BYTES:
            self.close()
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
        return self._file
