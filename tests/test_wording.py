"""Docstrings begin with what a thing is or does, and "told" names nothing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Folders that are in order, as far as they are; the others follow.
DESCRIBED = ["api", "compose", "consumers", "facecore/detection", "schemas"]
WITHOUT_TOLD = [
    "compose", "consumers", "facecore/detection", "models/occlusion", "requirements", "schemas/client",
    "schemas/store", "tests/api", "tests/bench", "tests/chaos", "tests/compose", "tests/consumers/sources",
    "tests/contract", "tests/integration", "tests/schemas",
]  # fmt: skip
SNAPSHOTS = ROOT / "tests" / "api" / "documents"

BEGINNING = re.compile(r"(?!(Args|Attributes|Returns|Raises|Yields|None|False|True):)[A-Z`\d]")
TOLD = re.compile(r"(?<![a-z])told(?![a-z])", re.IGNORECASE)


def public_docstrings(parent: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and docstring of public classes and functions. Ruff finds those without one, or without a period."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            if text := ast.get_docstring(node):
                yield node.lineno, text
            if isinstance(node, ast.ClassDef):
                yield from public_docstrings(node)


@pytest.mark.parametrize("folder", DESCRIBED)
def test_a_docstring_begins_with_a_sentence(folder: str) -> None:
    without = [
        f"{path}:{line}: {text[:60]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in public_docstrings(ast.parse(path.read_text()))
        if not BEGINNING.match(text)
    ]
    assert not without


@pytest.mark.parametrize("folder", WITHOUT_TOLD)
def test_nothing_is_called_told(folder: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.parent != SNAPSHOTS
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1)
        if TOLD.search(line)
    ]
    assert not found
