"""Docstrings begin with what a thing is or does, and "told" names nothing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["api", "compose", "consumers", "facecore", "models", "schemas"]
FOLDERS = [*PACKAGES, ".ci", "requirements", "tests"]
SNAPSHOTS = ROOT / "tests" / "api" / "documents"
BINARY = {".onnx", ".pyc", ".webp"}

BEGINNING = re.compile(r"(?!(Args|Attributes|Returns|Raises|Yields|None|False|True):)[A-Z`\d]")
TOLD = re.compile(r"(?<![a-z])told(?![a-z])", re.IGNORECASE)
PUBLISHED = ["ends-are-told", "is to be told", "could not be told", "when it is told"]
"""Words of the published documents, which do not change."""


def public_docstrings(parent: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and docstring of public classes and functions. Ruff finds those without one, or without a period."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            if text := ast.get_docstring(node):
                yield node.lineno, text
            if isinstance(node, ast.ClassDef):
                yield from public_docstrings(node)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_docstring_begins_with_a_sentence(package: str) -> None:
    wrong = [
        f"{path}:{line}: {text[:60]}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in public_docstrings(ast.parse(path.read_text()))
        if not BEGINNING.match(text)
    ]
    assert not wrong


def lines_of(path: Path) -> Iterator[str]:
    """Numbered lines of a file, without the words that the published documents share with it."""
    text = path.read_text(errors="ignore")
    for words in PUBLISHED:
        text = text.replace(words, "")
    for number, line in enumerate(text.splitlines(), 1):
        yield f"{path}:{number}: {line.strip()}"


def test_nothing_is_called_told() -> None:
    files = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*")} | set(ROOT.iterdir())
    files -= {Path(__file__), *SNAPSHOTS.iterdir()}
    texts = sorted(path for path in files if path.is_file() and path.suffix not in BINARY)
    assert not [line for path in texts for line in lines_of(path) if TOLD.search(line)]


def test_the_words_that_stay_are_published() -> None:
    documents = "".join(path.read_text() for path in SNAPSHOTS.glob("*.json"))
    assert not [words for words in PUBLISHED if words not in documents]
