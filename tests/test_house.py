"""The house keeps its floors: arrows go down only, and the API loads no pixels."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "schemas": set(),
    "models": set(),
    "facecore": {"schemas", "models"},
    "api": {"schemas"},
    "consumers": {"schemas", "facecore", "models"},
    "compose": {"schemas", "models", "facecore", "consumers", "api"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found & MAY_IMPORT.keys()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_go_down_only(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        assert imports(module) <= MAY_IMPORT[package] | {package}, module


def test_the_runtime_has_no_word_about_faces_in_it() -> None:
    for module in (ROOT / "consumers" / "runtime").rglob("*.py"):
        assert not imports(module) & {"facecore", "models"}, module


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("api.app", {"numpy", "cv2", "onnxruntime", "facecore", "insightface"}),
        ("facecore.analyzer", {"redis", "aiohttp", "consumers"}),
        ("models.fetch", {"torch", "cv2", "insightface"}),
    ],
)
def test_what_is_not_needed_is_not_loaded(module: str, without: set[str]) -> None:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not set(loaded.stdout.split()) & without
