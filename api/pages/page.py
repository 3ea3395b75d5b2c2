"""Self-contained pages: one HTML text with its style, its script and its data.

The data is untrusted, so it must never become markup: it is JSON that cannot end its element, the scripts create
text nodes only, and the content security policy allows nothing but the page's own script and style, by their
hashes, and ``data:`` pictures. The parts in ``assets/`` are joined here; there is no build step.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files

_PARTS = files(__package__) / "assets"
_FRAME = (_PARTS / "frame.html").read_text(encoding="utf-8")
_MARKUP = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


class Page:
    """A page without its data.

    Args:
        body: file name of its HTML.
        styles, scripts: file names, joined in this order.
        requests: whether its script sends requests, to its own origin only.

    Attributes:
        policy: content security policy; in the page itself, and for servers to send as a header.
        version: hash of everything but the data; part of entity tags.
    """

    def __init__(self, body: str, styles: Sequence[str], scripts: Sequence[str], *, requests: bool) -> None:
        style, script = "".join(map(_part, styles)), '"use strict";\n' + "".join(map(_part, scripts))
        directives = (
            "default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(style)}", "img-src data:",
            *(("connect-src 'self'",) if requests else ()), "base-uri 'none'", "form-action 'none'",
        )  # fmt: skip
        self.policy = "; ".join(directives)
        values = {"style": style, "script": script, "body": _part(body), "policy": escape(self.policy)}
        self._text = re.sub(r"\{\{(style|script|body|policy)\}\}", lambda match: values[match[1]], _FRAME)
        self.version = hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def render(self, title: str, data: bytes = b"null") -> bytes:
        """Fills in title and data; returns HTML in UTF-8.

        Args:
            data: JSON in UTF-8.
        """
        values = {"title": escape(title), "data": data.decode().translate(_MARKUP)}
        # In one pass, so that placeholders inside the inserted texts stay as they are.
        return re.sub(r"\{\{(title|data)\}\}", lambda match: values[match[1]], self._text).encode()


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
