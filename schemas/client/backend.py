"""Builds the distribution ``faces-client`` (PEP 517): the client and what it needs of schemas, as `faces_client`.

In the service's own packages the top level names are short (``schemas``), and would collide with those of whoever
installs a client. So the modules that the client imports, and no others, go into one package under another name.
"""

import base64
import hashlib
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMAS = HERE.parent
PACKAGE = "faces_client"
BUILDS = ("backend",)
"""Modules of the client's folder that are not part of it."""
_IMPORT = re.compile(r"^from schemas(\.[\w.]+)? import (.+)$", re.MULTILINE)


def build_wheel(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Returns the file's name in the directory."""
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
    """The client's modules, those that they import, and so on; their scripts."""
    waiting = [f"client/{path.stem}" for path in HERE.glob("*.py") if path.stem not in BUILDS]
    found: dict[str, bytes] = {}
    while waiting:
        module = waiting.pop()
        if f"{PACKAGE}/{module}.py" in found:
            continue
        text = (SCHEMAS / f"{module}.py").read_text()
        for where, names in _IMPORT.findall(text):
            imported = [where.lstrip(".").replace(".", "/")] if where else names.split(", ")
            waiting += [name for name in imported if (SCHEMAS / f"{name}.py").is_file()]
        text = re.sub(r"\bfrom schemas\b", f"from {PACKAGE}", text)
        text = text.replace('files("schemas")', f'files("{PACKAGE}")')
        found[f"{PACKAGE}/{module}.py"] = text.encode()
    for script in (SCHEMAS / "scripts").glob("*.lua"):
        found[f"{PACKAGE}/scripts/{script.name}"] = script.read_bytes()
    exports = f'"""Clients of the Faces service."""\n\nfrom {PACKAGE}.client import *  # noqa: F403\n'
    return found | {f"{PACKAGE}/__init__.py": exports.encode()}


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
