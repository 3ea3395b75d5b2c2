"""Import rules: packages import only what lies below them, no import is circular, heavy modules stay out."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = """
schemas             :
schemas.store       : schemas
schemas.client      : schemas.store
models              :
models.occlusion    : models
facecore.geometry   :
facecore.align      : facecore.geometry
facecore.errors     :
facecore.device     : facecore.errors models
facecore.model      : facecore.device
facecore.stopping   :
facecore.video      : facecore.errors facecore.stopping
facecore.detection  : facecore.align facecore.model
facecore            : facecore.detection facecore.video schemas
consumers.runtime   : schemas.store
consumers.threads   : facecore.stopping
consumers.sources   : consumers.runtime consumers.threads facecore.video
consumers           : consumers.sources facecore
consumers.galleries : consumers
consumers.stages    : consumers.galleries
consumers.processes : consumers.stages
consumers.__main__  : consumers.processes
api                 : schemas.store
api.pages           : api
api.openapi         : api.pages
api.health          : api.openapi
api.results         : api.pages
api.app             : api.health api.results
api.__main__        : api.app
compose             : api.pages consumers schemas.client
compose.commands    : compose
compose.cli         : compose.commands
"""
"""A layer is the module or package of that name with all below it that has no line of its own. It may import itself,
the layers after the colon, and what these may import."""

MAY_IMPORT: dict[str, set[str]] = {}
for line in LAYERS.strip().splitlines():
    layer, below = (part.split() for part in line.split(":"))
    MAY_IMPORT[layer[0]] = {*layer, *below}.union(*(MAY_IMPORT[name] for name in below))

PACKAGES = {name for name in MAY_IMPORT if "." not in name}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in sorted(PACKAGES)
    for path in sorted((ROOT / package).rglob("*.py"))
}


def layer_of(module: str) -> str:
    return max((name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")), key=len)


def imports_of(module: str) -> set[str]:
    """Modules of this project that a module imports anywhere in its file, relative imports included."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            path = [node.module] if node.module else []
            if node.level:
                package = module.split(".") if FILES[module].stem == "__init__" else module.split(".")[:-1]
                path = package[: len(package) + 1 - node.level] + path
            source = ".".join(path)
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else source for name in names}
    return {name for name in found if name.split(".")[0] in PACKAGES} - {module}


IMPORTS = {module: imports_of(module) for module in FILES}


def test_every_layer_exists() -> None:
    assert not [name for name in MAY_IMPORT if name not in FILES]


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    modules = [module for module in FILES if layer_of(module) == layer]
    assert modules
    forbidden = {
        f"{module} imports {name}"
        for module in modules
        for name in IMPORTS[module]
        if layer_of(name) not in MAY_IMPORT[layer]
    }
    assert not forbidden


def test_no_import_is_circular() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the circle


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
