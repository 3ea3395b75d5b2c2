"""What lies in the directory of models, and whether it is whole.

Layout (InsightFace's own): ``<root>/models/<pack>/*.onnx``. A pack that was fetched here has a ``manifest.json``
that is written last; a pack brought by other means has none.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from models.archives import sha256_of

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was installed; published_sha256 differs from sha256 when it was prepared."""

    sha256: str
    size: int
    source: str
    licence: str
    published_sha256: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    prepared_by: int
    files: Mapping[str, Entry]


def directory_of(pack: str, root: Path) -> Path:
    return root / "models" / pack


def read_manifest(directory: Path) -> Manifest | None:
    """None when there is none, or none of ours."""
    try:
        told = json.loads((directory / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        return None
    files = {name: Entry(**entry) for name, entry in told["files"].items()}
    return Manifest(told["prepared_by"], files)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Makes what is in the directory durable, then says so: the manifest appears last and whole."""
    for name in manifest.files:
        sync(directory / name)
    told = {
        "format": FORMAT,
        "prepared_by": manifest.prepared_by,
        "files": {name: asdict(entry) for name, entry in manifest.files.items()},
    }
    written = directory / f"{MANIFEST}.partial"
    written.write_text(json.dumps(told, indent=2) + "\n")
    sync(written)
    written.replace(directory / MANIFEST)
    sync(directory)


def sync(path: Path) -> None:
    """Forces a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def complete(directory: Path, manifest: Manifest) -> bool:
    """A quick look: every file is there with the size it should have."""
    return all(
        (directory / name).is_file() and (directory / name).stat().st_size == entry.size
        for name, entry in manifest.files.items()
    )


def problem(file: Path, sha256: str | None) -> str | None:
    """What is wrong with a file, in words; None when it is there and has the hash."""
    if not file.is_file():
        return "missing"
    if sha256 is not None and sha256_of(file) != sha256:
        return "damaged"
    return None


@contextmanager
def locked(pack: str, root: Path) -> Iterator[None]:
    """Only one process at a time works on a pack; the lock goes with the process that holds it."""
    import fcntl

    parent = root / "models"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f".{pack}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
