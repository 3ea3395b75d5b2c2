"""The directory of models: manifests, integrity checks, locking.

Layout (as InsightFace's): ``<root>/models/<pack>/*.onnx``. A fetched pack has a ``manifest.json``, which is written
last; a pack installed by hand has none.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec

from models.archives import sha256_of

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An installed file; published_sha256 differs from sha256 if the file was prepared."""

    sha256: str
    size: int
    source: str
    licence: str
    published_sha256: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a fetched pack.

    Attributes:
        prepared_by: catalog.PREPARED_BY when the files were prepared; 0: not prepared.
    """

    prepared_by: int
    files: Mapping[str, Entry]


def directory_of(pack: str, root: Path) -> Path:
    """Returns the directory of a pack."""
    return root / "models" / pack


def read_manifest(directory: Path) -> Manifest | None:
    """Reads the manifest of a pack; None: missing, damaged or of another format."""
    try:
        content = json.loads((directory / MANIFEST).read_bytes())
        return msgspec.convert(content, Manifest) if content["format"] == FORMAT else None
    except (FileNotFoundError, NotADirectoryError, LookupError, TypeError, ValueError):
        return None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Syncs the files of a pack to disk, then writes the manifest atomically."""
    for name in manifest.files:
        sync(directory / name)
    content = {
        "format": FORMAT,
        "prepared_by": manifest.prepared_by,
        "files": {name: asdict(entry) for name, entry in manifest.files.items()},
    }
    written = directory / f"{MANIFEST}.partial"
    written.write_text(json.dumps(content, indent=2) + "\n")
    sync(written)
    written.replace(directory / MANIFEST)
    sync(directory)


def sync(path: Path) -> None:
    """Writes a file or a directory through to disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def complete(directory: Path, manifest: Manifest) -> bool:
    """Returns whether every file exists with its size; a quick check without hashes."""
    return all(
        (directory / name).is_file() and (directory / name).stat().st_size == entry.size
        for name, entry in manifest.files.items()
    )


def problem(file: Path, sha256: str | None) -> Literal["missing", "damaged"] | None:
    """Returns "missing" or "damaged"; None: the file exists and has the hash."""
    if not file.is_file():
        return "missing"
    if sha256 is not None and sha256_of(file) != sha256:
        return "damaged"
    return None


@contextmanager
def locked(pack: str, root: Path) -> Iterator[None]:
    """Holds an exclusive file lock on a pack; the lock is released when its process ends."""
    import fcntl

    parent = root / "models"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f".{pack}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
