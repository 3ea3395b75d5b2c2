"""Fetches model packs into the directory of models, verifies them and finds them.

A pack is written to a temporary directory, verified, synced to disk and then renamed, so that an incomplete pack is
never used. A file lock makes concurrent processes fetch a pack only once.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from models.archives import FetchError
from models.catalog import (
    EXTRAS,
    INSIGHTFACE_PACKS,
    NON_COMMERCIAL,
    OPEN,
    OPEN_PACK,
    PACKS,
    PREPARED_BY,
    files_of,
)
from models.installed import Manifest, complete, directory_of, locked, problem, read_manifest
from models.installers import installer

SHIPPED_OCCLUSION = Path(__file__).parent / "occlusion" / "occlusion_resnet18.onnx"


class ModelsUnavailable(Exception):
    """A pack is missing and cannot be fetched, or cannot be opened; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of ``faces models list``.

    Attributes:
        size: bytes; None: unknown.
        sha256: expected hash; None: unknown.
    """

    pack: str
    file: str
    role: str
    source: str
    licence: str
    size: int | None
    sha256: str | None
    state: Literal["present", "missing", "damaged"]


def list_models(root: Path) -> list[Row]:
    """Returns every file of the catalog and of packs installed by hand, with its state; recomputes hashes."""
    return [row for pack in (*PACKS, *_packs_by_hand(root)) for row in _rows(pack, root)]


def ensure(name: str, root: Path) -> Path:
    """Returns the directory of a pack; fetches the pack if it is missing.

    Raises:
        ModelsUnavailable: it is missing and cannot be fetched.
    """
    directory = directory_of(name, root)
    if _usable(name, directory):
        _require_insightface(name)
        return directory
    return fetch(name, root)


def is_installed(name: str, root: Path) -> bool:
    """Returns whether a pack is in the directory of models, so that nothing has to be fetched."""
    return _usable(name, directory_of(name, root))


def fetch(name: str, root: Path) -> Path:
    """Fetches a pack unless it is installed and undamaged; returns its directory.

    Raises:
        ModelsUnavailable: it cannot be fetched.
    """
    _require_insightface(name)
    directory = directory_of(name, root)
    install = installer(name)
    if install is None:
        if _usable(name, directory):
            return directory
        raise ModelsUnavailable(_unknown(name, directory))
    try:
        if _usable(name, directory) and not verify(name, root):
            return directory  # also where the directory of models is read-only
        with locked(name, root):
            if _usable(name, directory) and not verify(name, root):
                return directory  # another process has fetched it
            install(name, directory)
    except (FetchError, OSError) as error:
        raise ModelsUnavailable(_unavailable(name, directory, error)) from error
    return directory


def _require_insightface(name: str) -> None:
    """Raises ModelsUnavailable when a pack needs the package insightface, which loads all packs but the open one."""
    if name not in (OPEN, EXTRAS) and find_spec("insightface") is None:
        raise ModelsUnavailable(
            f"The model pack {name} needs the package insightface, which brings a second OpenCV. Run: pip install"
            " --no-deps 'insightface>=2.1,<3' && pip install tqdm requests scikit-image"
        )


def verify(name: str, root: Path) -> list[str]:
    """Returns one line for each missing or damaged file of a pack; recomputes hashes."""
    rows = _rows(name, root)
    if not rows:
        return [f"{name}: no such pack in {directory_of(name, root)}"]
    faults = [f"{name}/{row.file}: {row.state}" for row in rows if row.state != "present"]
    manifest = read_manifest(directory_of(name, root))
    if not faults and name == OPEN and manifest is not None and not _as_in_catalog(manifest):
        faults = [f"{name}: of another version of this program, which prepares it anew when it is needed"]
    return faults


def soundness(name: str) -> str:
    """What is known of a pack in which `verify` finds no problem."""
    return "complete" if name in PACKS else "installed by hand: what its files do shows when they are loaded"


def find_extra(role: Literal["occlusion", "sharpness"], root: Path) -> Path | None:
    """Returns the file of an extra role: from the directory of models, else the one in this package; None: no
    file."""
    directory = directory_of(EXTRAS, root)
    candidates = [directory / file.file for file in files_of(EXTRAS) if file.role == role]
    if role == "occlusion":
        candidates.append(SHIPPED_OCCLUSION)
    return next((file for file in candidates if file.is_file()), None)


def _usable(name: str, directory: Path) -> bool:
    manifest = read_manifest(directory)
    if manifest is not None:
        return complete(directory, manifest) and (name != OPEN or _as_in_catalog(manifest))
    return name not in (OPEN, EXTRAS) and any(directory.glob("*.onnx"))


def _as_in_catalog(manifest: Manifest) -> bool:
    """Returns whether the open pack's files are those of the catalog, prepared as they are now."""
    entries = manifest.files
    return manifest.prepared_by == PREPARED_BY and all(
        file.file in entries and entries[file.file].published_sha256 == file.sha256 for file in OPEN_PACK
    )


def _packs_by_hand(root: Path) -> list[str]:
    found = (path.parent.name for path in (root / "models").glob("[!.]*/*.onnx"))
    return sorted(set(found) - set(PACKS))


def _rows(pack: str, root: Path) -> list[Row]:
    directory = directory_of(pack, root)
    manifest = read_manifest(directory)
    catalog = {file.file: file for file in files_of(pack)}
    names = list(catalog) + sorted({path.name for path in directory.glob("*.onnx")} - set(catalog))
    rows = []
    for name in names:
        file, entry = catalog.get(name), manifest.files.get(name) if manifest else None
        sha256 = entry.sha256 if entry else file.sha256 if file and pack != OPEN else None
        state = problem(directory / name, sha256)
        if pack == OPEN and entry is None:
            state = "missing"  # a pack without its manifest is not used
        rows.append(
            Row(
                pack=pack,
                file=name,
                role=file.role if file else "",
                source=file.source if file else "installed by hand",
                licence=file.licence if file else NON_COMMERCIAL if pack in INSIGHTFACE_PACKS else "unknown",
                size=_size(directory / name) or (file.size if file else None),
                sha256=sha256 or (file.sha256 if file else None),
                state=state or "present",
            )
        )
    return rows


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _unavailable(name: str, directory: Path, error: Exception) -> str:
    found = (
        "missing" if read_manifest(directory) is None else "incomplete, or of another version of this program"
    )
    return (
        f"model pack {name!r} in {directory} is {found}, and could not be fetched ({error}). "
        f"On a machine with network access run `faces models fetch {name}`, then copy its models/{name} directory "
        f"to {directory}, or point INSIGHTFACE_MODELS_CACHE at the directory that holds models/{name}."
    )


def _unknown(name: str, directory: Path) -> str:
    return (
        f"model pack {name!r} is not in {directory} and cannot be fetched; "
        f"packs that can are {', '.join(PACKS)}. "
        f"Put its .onnx files into {directory}, or set INSIGHTFACE_MODEL to another pack."
    )
