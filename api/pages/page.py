"""Pages that need nothing else: one HTML text with its style, its script and its data.

What a page shows comes from strangers, so it is text there and nowhere markup: the data is JSON that cannot leave
its element, the scripts build everything from text nodes, and the policy of a page allows its own script and style,
by their hashes, and pictures within the page. The parts lie in `pages/` and are put together here, not built.
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
    """A page whose data is still to come.

    Args:
        body: name of the part that is its HTML.
        styles, scripts: names of the parts that are put one after the other.
        asks: whether its script asks the server that it came from; no page asks anybody else.

    Attributes:
        policy: content security policy, which the page states itself; a server adds it as a header.
        version: changes whenever the page would look different for the same data.
    """

    def __init__(self, body: str, styles: Sequence[str], scripts: Sequence[str], *, asks: bool) -> None:
        style, script = "".join(map(_part, styles)), '"use strict";\n' + "".join(map(_part, scripts))
        directives = (
            "default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(style)}", "img-src data:",
            *(("connect-src 'self'",) if asks else ()), "base-uri 'none'", "form-action 'none'",
        )  # fmt: skip
        self.policy = "; ".join(directives)
        values = {"style": style, "script": script, "body": _part(body), "policy": escape(self.policy)}
        self._text = re.sub(r"\{\{(style|script|body|policy)\}\}", lambda place: values[place[1]], _FRAME)
        self.version = hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def render(self, title: str, data: bytes = b"null") -> bytes:
        """The page, HTML in UTF-8.

        Args:
            data: JSON.
        """
        values = {"title": escape(title), "data": data.decode().translate(_MARKUP)}
        # In one pass: what is put in is not searched for further places.
        return re.sub(r"\{\{(title|data)\}\}", lambda place: values[place[1]], self._text).encode()


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
