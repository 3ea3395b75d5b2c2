"""File names as text: names on Linux are bytes, but requests, results and logs hold Unicode."""

import os
import unicodedata
from urllib.parse import quote, unquote_to_bytes

FILE_URL = "file://"
ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that a terminal acts on or cannot show: control and format characters, surrogates, line ends."""
JOINERS = "\u200c\u200d"
"""Format characters that scripts and emoji need."""


def to_text(path: str | os.PathLike[str]) -> str:
    """Returns a path as a request spells it: as it is when its bytes are UTF-8, else as a ``file:`` URL in which they
    are percent-encoded (RFC 8089)."""
    name = os.fsencode(path)
    return name.decode() if _is_utf8(name) else FILE_URL + quote(name)


def to_path(text: str) -> str:
    """Returns the path that a request spells, for the functions of `os`; the inverse of `to_text`.

    A ``file:`` URL of a name that is UTF-8 stays as it is: every path has one spelling.
    """
    name = text.encode(errors="surrogateescape")
    if text.startswith(f"{FILE_URL}/"):
        path = unquote_to_bytes(text.removeprefix(FILE_URL))
        name = name if _is_utf8(path) else path
    return os.fsdecode(name)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def printable(text: str) -> str:
    """Returns a text for one line of a terminal: what would move the cursor or hide letters is escaped."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ESCAPED_CATEGORIES and character not in JOINERS
        else character
        for character in text
    )
