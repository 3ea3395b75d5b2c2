"""The wheel and the source archive hold what the service needs, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "compose", "consumers", "facecore", "models", "schemas")
DATA = ("api/pages/assets/*", "compose/service_times.json", "models/occlusion/*.onnx", "*/*/scripts/*.lua")
OF_THE_CLIENT = ("schemas/client/backend.py", "schemas/client/examples/*")
BUILD = """
from setuptools import build_meta
build_meta.build_sdist("dist")
build_meta.build_wheel("dist")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both, built from a copy with the remains of an earlier build."""
    work = tmp_path_factory.mktemp("built")
    tools, copy = work / "tools", work / "copy"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tools), "setuptools>=80"]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip("setuptools cannot be fetched")
    ignored = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "build" / "lib" / "api").mkdir(parents=True)
    (copy / "build" / "lib" / "api" / "removed_long_ago.py").touch()
    environment = {**os.environ, "PYTHONPATH": str(tools), "FACES_COMMIT": "0123456789ab"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return copy / "dist"


def wanted() -> set[str]:
    files = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    files |= {path.relative_to(ROOT) for pattern in DATA for path in ROOT.glob(pattern)}
    kept = {file.as_posix() for file in files if not any(file.match(pattern) for pattern in OF_THE_CLIENT)}
    return kept | {"compose/commit.txt"}


def test_the_wheel_holds_the_packages_their_data_and_the_commit(built: Path) -> None:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted()
        assert wheel.read("compose/commit.txt") == b"0123456789ab\n"


def test_the_source_archive_builds_the_wheel_and_holds_no_tests(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    beside = {"pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE", "PKG-INFO"}
    assert {name for name in names if ".egg-info/" not in name} == wanted() | beside
