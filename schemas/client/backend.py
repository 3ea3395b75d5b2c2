"""Builds the distribution ``faces-client`` (PEP 517): the client and the modules of schemas that it imports.

The service's top-level name ``schemas`` is too general for other people's environments, so the modules go into one
package under the name `faces_client`.
"""

import ast
import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMAS = HERE.parent
PACKAGE = "faces_client"


def build_wheel(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Builds the wheel in a directory; returns its file name."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    version = project["version"]
    info = f"{PACKAGE}-{version}.dist-info"
    files = _modules() | {
        f"{PACKAGE}/py.typed": b"",
        f"{info}/METADATA": _metadata(project),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: faces\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = _record(files, info)
    name = f"{PACKAGE}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
    return name


def _modules() -> dict[str, bytes]:
    """The client's modules, all that they import, and the Lua scripts: contents by path in the wheel."""
    waiting = [HERE / "__init__.py"]
    found: dict[str, bytes] = {}
    while waiting:
        path = waiting.pop()
        name = f"{PACKAGE}/{path.relative_to(SCHEMAS).as_posix()}"
        if name in found:
            continue
        source = path.read_text()
        imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
        ours = [node for node in imports if node.module and node.module.split(".")[0] == "schemas"]
        found[name] = _renamed(source, ours).encode()
        waiting += [module for node in ours for module in _imported(node)]
    for script in (SCHEMAS / "store" / "scripts").glob("*.lua"):
        found[f"{PACKAGE}/store/scripts/{script.name}"] = script.read_bytes()
    exports = f'"""Clients of the Faces service."""\n\nfrom {PACKAGE}.client import *  # noqa: F403\n'
    return found | {f"{PACKAGE}/__init__.py": exports.encode()}


def _imported(node: ast.ImportFrom) -> list[Path]:
    """The files that an import from ``schemas`` loads."""
    place = SCHEMAS.parent.joinpath(*str(node.module).split("."))
    if place.with_suffix(".py").is_file():
        return [place.with_suffix(".py"), *_packages(place)]
    modules = [place / f"{alias.name}.py" for alias in node.names]
    return [module for module in modules if module.is_file()] + _packages(place / "x")


def _packages(place: Path) -> list[Path]:
    """The ``__init__.py`` of every package between ``schemas`` and a module."""
    return [parent / "__init__.py" for parent in place.parents if SCHEMAS in parent.parents]


def _renamed(source: str, imports: list[ast.ImportFrom]) -> str:
    """The source with ``schemas`` renamed in these import statements."""
    lines = source.splitlines(keepends=True)
    for node in imports:
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line.replace("from schemas", f"from {PACKAGE}", 1)
    return "".join(lines)


def _metadata(project: dict[str, Any]) -> bytes:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        f"License-Expression: {project['license']}",
        *(f"Requires-Dist: {dependency}" for dependency in project["dependencies"]),
    ]
    return ("\n".join(lines) + "\n").encode()


def _record(files: dict[str, bytes], info: str) -> bytes:
    def line(path: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        return f"{path},sha256={digest},{len(content)}\n"

    return ("".join(line(*file) for file in files.items()) + f"{info}/RECORD,,\n").encode()
