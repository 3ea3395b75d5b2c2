"""The Markdown files against the code: commands, links, rooms, settings."""

import argparse
import ast
import json
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from api.app import create_app
from api.endpoints import ENDPOINTS
from compose import cli
from schemas.requests import parse_request
from schemas.settings import Settings

ROOT = Path(__file__).parents[1]
ROOMS = ("api", "compose", "consumers", "facecore", "models", "schemas", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])
LISTED = (
    *(room for room in ROOMS if room != "tests"),
    "consumers/runtime",
    "schemas/store",
)
"""Folders whose modules the README of their room lists, all of them."""
README_BYTES = 6_700
TEXT_PROGRAMS = frozenset({"cp", "docker", "export", "kubectl", "rm", "until", "redis-cli"})
"""Programs of the system whose arguments say nothing about this repository."""
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)} {number}")
        for page in PAGES
        for number, (name, text) in enumerate(BLOCK.findall(page.read_text()))
        if name == language
    ]


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command: without comments, variables that are set, pipes and redirections."""
    for line in block.replace("\\\n", " ").splitlines():
        substituted = re.sub(r'^(?:eval "|[A-Z]+=)\$\((.*)\)"?', r"\1", line.strip())
        words = shlex.split(substituted, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        words = list(takewhile(lambda word: word not in (">", "|", "&"), words))
        if words:
            yield words


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_exist_with_the_arguments_shown(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(block):
        match words:
            case ["make", *rest]:
                check_make(rest)
            case [".venv/bin/faces" | "faces", *rest]:
                check_faces(rest, monkeypatch)
            case [".venv/bin/python" | "python" | "python3", "-m", "pytest", *files]:
                assert all((ROOT / file).exists() for file in files), words
            case [".venv/bin/python" | "python" | "python3", "-m", module, *rest]:
                check_module(module, rest)
            case ["python" | "node", file, *_]:
                assert (ROOT / file).is_file(), words
            case ["pip", "install", folder]:
                assert (ROOT / folder / "pyproject.toml").is_file(), words
            case ["docker", "compose", *rest]:
                files = [rest[i + 1] for i, word in enumerate(rest) if word == "-f"]
                assert files and all((ROOT / file).is_file() for file in files), words
                if "exec" in rest:
                    _, command, *arguments = rest[rest.index("exec") + 1 :]
                    assert command == "faces"
                    check_faces(arguments, monkeypatch)
            case ["docker", "build", "-f", file, *_] | ["kubectl", "apply", "-k" | "-f", file]:
                assert (ROOT / file).exists(), words
            case ["curl", *rest]:
                check_curl(rest)
            case _:
                assert words[0] in TEXT_PROGRAMS, words


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        pattern = rf"\b{name}\b" if is_variable else rf"^{name}:"
        assert re.search(pattern, makefile, re.MULTILINE), argument


def check_faces(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parses the arguments as the command does, and stops before it runs."""
    parse = argparse.ArgumentParser.parse_args

    class Parsed(Exception):
        pass

    def parse_only(parser: argparse.ArgumentParser) -> None:
        parse(parser)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", ["faces", *arguments])
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        with pytest.raises(Parsed):
            cli.main()


def check_module(module: str, arguments: list[str]) -> None:
    spec = find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        spec = find_spec(f"{module}.__main__")
    assert spec is not None and spec.origin is not None, module
    source = Path(spec.origin).read_text()
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    assert all(f'"{flag}"' in source for flag in flags - {"--help"}), (module, flags)


def check_curl(arguments: list[str]) -> None:
    (url,) = (word for word in arguments if re.match(r"(http://[\w.]+|localhost):\d+/", word))
    path = re.sub(r"^(http://)?[^/]+", "", url).partition("?")[0]
    method = arguments[arguments.index("-X") + 1] if "-X" in arguments else "GET"
    endpoints = create_app(Settings.from_env({}))[ENDPOINTS]
    assert any(
        method == known and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path)
        for known, pattern in endpoints
    ), (method, path)
    if path == "/faces/analyze":
        parse_request(arguments[arguments.index("-d") + 1].encode())


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles(block: str) -> None:
    ast.parse(dedent(block))


@pytest.mark.parametrize("block", blocks("json"))
def test_json_is_json(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = set[str]()
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(next(name for n in count() if (name := f"{slug}-{n}" if n else slug) not in found))
    return found


def test_every_document_is_linked_from_another_one() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text())
    }
    assert [page for page in PAGES if page not in linked] == []


def test_what_is_not_run_of_the_documents_is_in_them() -> None:
    from tests.documents import NOT_RUN, logical_lines, sh_blocks

    lines = [line for page in PAGES for block in sh_blocks(page) for line in logical_lines(block)]
    assert [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)] == []


def test_the_reference_is_derived_from_the_code() -> None:
    """Otherwise: python -m tests.reference > compose/docs/reference.md"""
    from tests import reference

    assert (ROOT / "compose" / "docs" / "reference.md").read_text() == reference.page()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("folder", LISTED)
def test_a_readme_lists_the_modules_and_rooms_of_its_folder(folder: str) -> None:
    room = folder.partition("/")[0]
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / room / "README.md").read_text(), re.MULTILINE)
    listed = {name for cell in rows for name in re.findall(r"`(.*?)`", cell)}
    modules = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}
    folders = {f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")}
    assert modules | folders <= listed


@pytest.mark.parametrize("room", [folder for folder in LISTED if "/" not in folder])
def test_a_readme_lists_no_module_that_is_gone(room: str) -> None:
    tables = re.findall(
        r"^\| (?:Module|File) \|.*\n\|.*\n((?:\|.*\n)+)",
        (ROOT / room / "README.md").read_text(),
        re.MULTILINE,
    )
    assert tables
    for row in "".join(tables).splitlines():
        for name in re.findall(r"`(.*?)`", row.split("|")[1]):
            files = [*(ROOT / room).rglob(f"{name}.py"), *(ROOT / room).rglob(name.rstrip("/"))]
            assert files or name.endswith(".onnx"), name


def test_the_table_of_settings_is_that_of_the_struct() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (.*?) \|", (ROOT / "compose" / "README.md").read_text(), re.MULTILINE
    )
    assert dict(rows) == {
        field.encode_name: shown(field.default) for field in msgspec.structs.fields(Settings)
    }


def shown(default: Any) -> str:
    """A default as the table writes it."""
    if default in (None, ""):
        return "none"
    if isinstance(default, bool):
        return str(int(default))
    return f"`{default}`" if isinstance(default, str) else str(default).removesuffix(".0") if default else "0"
