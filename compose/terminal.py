"""Prints values to standard output: as JSON, or as a table."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

MIN_CUT_COLUMNS = 12
"""A cell that is cut keeps this much, even where the line becomes wider than the terminal."""


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")  # UTF-8 in every locale
    sys.stdout.buffer.flush()


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 person", "2 people"."""
    return f"{number} {one if number == 1 else many}"


def local_time(seconds: float) -> str:
    """A moment in the time zone of this machine: "11-26 00:17"."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%m-%d %H:%M")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows of text under column titles, two spaces between columns, without lines.

    In a terminal, the last column is cut where it is too long for the width: from the left where it is a path, whose
    end says most. The others are whole, since they are ids that can be copied. Elsewhere, nothing is cut.
    """
    from rich.cells import cell_len

    from schemas.file_names import printable

    table = [list(columns), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    left = None
    if sys.stdout.isatty():
        left = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for *cells, last in table:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=False)]
        shown = last if left is None else _cut(last, max(left, MIN_CUT_COLUMNS))
        sys.stdout.write("  ".join([*padded, shown]).rstrip() + "\n")


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    from_left = text.startswith("/") or "://" in text.partition(" ")[0]
    while cell_len(text) >= width:
        text = text[1:] if from_left else text[:-1]
    return f"…{text}" if from_left else f"{text}…"
