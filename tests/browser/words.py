"""Finds texts of the pages that are not in `texts.js`.

The pages are served with every letter of the texts in `texts.js` replaced by a Cyrillic one. A Latin word that is
then on the page, and comes from no answer of the API, is written elsewhere.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, get_args

from facecore.attributes import EMOTIONS
from schemas.results import JobState, PoseClass

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response, Route

WORDS_OF_RESULTS = {*EMOTIONS, *get_args(JobState), *get_args(PoseClass), "M", "F"}
"""Values that the pages say in words of their own."""
_LATIN = re.compile(r"[A-Za-z]{2,}")
_REPLACE = r"""
(function replace(texts) {
  for (const [key, text] of Object.entries(texts)) {
    if (typeof text === "string") {
      texts[key] = text.replace(/\{\w+\}|[A-Za-z]/g, part => part.length > 1 ? part : "ж");
    } else if (typeof text === "object" && !(text instanceof RegExp)) replace(text);
  }
})(TEXTS);
"""
_SHOWN = """() => {
  document.querySelectorAll('wbr').forEach(node => node.remove());  // where a name may be broken
  document.body.normalize();
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const names = ['aria-label', 'aria-valuetext', 'title', 'alt', 'placeholder'];
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.parentNode.closest('script, style, noscript')) found.push(text.data);
  }
  for (const node of document.body.querySelectorAll(':not(time)')) {
    found.push(...names.filter(name => node.hasAttribute(name)).map(name => node.getAttribute(name)));
  }
  const data = JSON.parse(document.getElementById('data').textContent);
  return [found.filter(text => /[A-Za-z]{2}/.test(text)), data];
}"""


class Words:
    """Serves the pages of a tab in that way, and records what the API answers."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self._answers: list[Response] = []
        self._known: set[str] = set()
        page.route("**/faces/**", _serve)
        page.on("response", lambda answer: self._answers.append(answer))

    def open(self, address: str) -> None:
        """Opens a page anew, also where its hash alone differs; what the one before had asked for is forgotten."""
        self._page.goto("about:blank")
        self._answers.clear()
        self._page.goto(address)

    def elsewhere(self) -> list[str]:
        """Returns the words on the page that are in no answer of the API and not in `texts.js`."""
        texts, data = self._page.evaluate(_SHOWN)
        for answer in self._answers:
            if "json" in answer.headers.get("content-type", "") and answer.ok:
                self._known |= set(_strings(answer.json()))
        self._answers.clear()
        known = sorted(self._known | set(_strings(data)), key=len, reverse=True)
        return [word for text in texts for word in _LATIN.findall(_without(text, known))]


def _serve(route: "Route") -> None:
    if route.request.resource_type != "document":
        route.continue_()
        return
    answer = route.fetch()
    body = answer.text().replace("const fill = (text", f"{_REPLACE}const fill = (text", 1)
    assert _REPLACE in body
    body = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", body)
    route.fulfill(status=answer.status, content_type="text/html; charset=utf-8", body=body)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str) and _LATIN.search(value) and value not in WORDS_OF_RESULTS:
        yield from {value, PurePosixPath(value).name}


def _without(text: str, known: list[str]) -> str:
    for one in known:
        if one in text:
            text = re.sub(rf"(?<![A-Za-z]){re.escape(one)}(?![A-Za-z])", " ", text)
    return text
