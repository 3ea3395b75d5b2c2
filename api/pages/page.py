"""Self-contained pages: one HTML text with its style, its script and its data.

The data is untrusted, so it must never become markup: it is JSON that cannot end its element, the scripts create
text nodes only, and the content security policy allows nothing but the page's own script and style, by their
hashes, and pictures and films of its own origin. The parts in ``assets/`` are joined here; there is no build step.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from aiohttp import hdrs, web

from api.compression import COMPRESSORS, Coding, compressed, negotiate

_PARTS = files(__package__) / "assets"
_FRAME = (_PARTS / "frame.html").read_text(encoding="utf-8")
_DATA = re.compile(r'(?<=<script type="application/json" id="data">)[^<]*(?=</script>)')
_MARKUP = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


class Page:
    """A page without its data.

    Args:
        body: file name of its HTML.
        styles, scripts: file names, joined in this order.
        requests: whether its script sends requests, and it shows pictures and films, of its own origin only.

    Attributes:
        policy: content security policy; in the page itself, and for servers to send as a header.
        version: hash of everything but the data; part of entity tags.
    """

    def __init__(self, body: str, styles: Sequence[str], scripts: Sequence[str], *, requests: bool) -> None:
        style, script = "".join(map(_part, styles)), '"use strict";\n' + "".join(map(_part, scripts))
        own = ("img-src 'self' data: blob:", "media-src 'self'", "connect-src 'self'")
        directives = (
            "default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(style)}",
            *(own if requests else ("img-src data:",)), "base-uri 'none'", "form-action 'none'",
        )  # fmt: skip
        self.policy = "; ".join(directives)
        values = {
            "style": style,
            "script": script,
            "body": _part(body),
            "policy": escape(self.policy),
        }
        self._text = re.sub(r"\{\{(style|script|body|policy)\}\}", lambda match: values[match[1]], _FRAME)
        self.version = hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def render(self, title: str, data: bytes = b"null", root: str = "./") -> bytes:
        """Fills in title and data; returns HTML in UTF-8.

        Args:
            data: JSON in UTF-8.
            root: where ``/faces/`` lies, seen from the page's address, for example ``../``.
        """
        values = {"title": escape(title), "data": data.decode().translate(_MARKUP), "root": escape(root)}
        # In one pass, so that placeholders inside the inserted texts stay as they are.
        return re.sub(r"\{\{(title|data|root)\}\}", lambda match: values[match[1]], self._text).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Security headers."""
        return {
            "Content-Security-Policy": f"{self.policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }


class SharedPage:
    """A page that is the same for everybody: its script loads the data from the API. It is compressed once.

    Args:
        root: see `Page.render`.
        content: HTML that its body has a place for.
    """

    def __init__(self, page: Page, title: str, root: str = "./", content: str = "") -> None:
        plain = page.render(title, root=root).replace(b"{{content}}", content.encode())
        self._headers = page.headers
        self._version = hashlib.sha256(plain).hexdigest()[:16]
        self._bodies: dict[Coding | None, bytes] = {None: plain}
        self._bodies |= {coding: compressed(plain, coding) for coding in COMPRESSORS}

    def response(self, request: web.Request) -> web.Response:
        """Serves the page, in a coding that the browser accepts; 304 where it has this version."""
        coding = negotiate(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        tag = f"{self._version}-{coding or 'plain'}"
        headers = {"Cache-Control": "private, no-cache", "ETag": f'"{tag}"', "Vary": "Accept-Encoding"}
        headers |= self._headers
        if tag in {etag.value for etag in request.if_none_match or ()}:
            return web.Response(status=304, headers=headers)
        if coding is not None:
            headers[hdrs.CONTENT_ENCODING] = coding
        return web.Response(
            body=self._bodies[coding], content_type="text/html", charset="utf-8", headers=headers
        )


class AppPage(SharedPage):
    """A shared page with the shell.

    Args:
        name, parts: see `app_page`.
        root, content: see `SharedPage`.
    """

    def __init__(self, name: str, title: str, *parts: str, root: str = "./", content: str = "") -> None:
        super().__init__(app_page(name, *parts), title, root, content)


def app_page(name: str, *parts: str) -> Page:
    """Returns a page with the shell: header, texts, requests.

    Args:
        name: of its HTML, style and script; those of the shell are joined to them.
        parts: names of further styles and scripts, which come before them.
    """
    names = (*parts, f"{name}.css", f"{name}.js")
    styles = ("base.css", "shell.css", *(part for part in names if part.endswith(".css")))
    scripts = (
        "dom.js", "pictures.js", "texts.js", "access.js", "shell.js",
        *(part for part in names if part.endswith(".js")),
    )  # fmt: skip
    return Page(f"{name}.html", styles, scripts, requests=True)


def data_of(html: bytes) -> bytes | None:
    """Returns the data of a rendered page, JSON in UTF-8; None when this is no such page."""
    found = _DATA.search(html.decode(errors="replace"))
    return None if found is None else found[0].encode()


def with_data(html: bytes, data: bytes) -> bytes:
    """Returns a rendered page with other data, JSON in UTF-8."""
    escaped = data.decode().translate(_MARKUP)
    return _DATA.sub(lambda _: escaped, html.decode(), count=1).encode()


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
