"""Brings model packs into the directory of models, checks them, finds them.

A pack appears in one rename, after its files are written, checked and on the disk: a half-written pack is never
used. Two processes that want the same pack fetch it once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.archives import FetchError
from models.catalog import EXTRAS, INSIGHTFACE_PACKS, NON_COMMERCIAL, OPEN, PACKS, PREPARED_BY, files_of
from models.installed import complete, directory_of, locked, problem, read_manifest
from models.installers import fetcher

SHIPPED_OCCLUSION = Path(__file__).parent / "occlusion" / "occlusion_resnet18.onnx"


class ModelsUnavailable(Exception):
    """A pack is neither there nor to be had; the text says where it was looked for and how to bring it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of ``faces models list``; size in bytes, None when unknown."""

    pack: str
    file: str
    role: str
    source: str
    licence: str
    size: int | None
    sha256: str | None
    state: Literal["present", "missing", "damaged"]


def list_models(root: Path) -> list[Row]:
    """Every file of the catalog and every pack that somebody put there, with its state (hashes recomputed)."""
    return [row for pack in (*PACKS, *_brought(root)) for row in _rows(pack, root)]


def ensure(name: str, root: Path) -> Path:
    """The directory of a usable pack, fetched when it is not there.

    Raises:
        ModelsUnavailable: it is not there and cannot be fetched.
    """
    directory = directory_of(name, root)
    return directory if _usable(name, directory) else fetch(name, root)


def fetch(name: str, root: Path) -> Path:
    """Brings a pack; does nothing when it is there and whole, and replaces it when it is damaged.

    Raises:
        ModelsUnavailable: it cannot be had.
    """
    directory = directory_of(name, root)
    bring = fetcher(name)
    if bring is None:
        if _usable(name, directory):
            return directory
        raise ModelsUnavailable(_unknown(name, directory))
    try:
        with locked(name, root):
            if _usable(name, directory) and not verify(name, root):
                return directory
            bring(name, directory)
    except (FetchError, OSError) as error:
        raise ModelsUnavailable(_unavailable(name, directory, error)) from error
    return directory


def verify(name: str, root: Path) -> list[str]:
    """What is wrong with a pack, a line a file; hashes are recomputed."""
    rows = _rows(name, root)
    if not rows:
        return [f"{name}: no such pack in {directory_of(name, root)}"]
    return [f"{name}/{row.file}: {row.state}" for row in rows if row.state != "present"]


def find_extra(role: Literal["occlusion", "sharpness"], root: Path) -> Path | None:
    """The first file there is for a role: the ones in the directory of models, then the one shipped with us."""
    directory = directory_of(EXTRAS, root)
    candidates = [directory / file.file for file in files_of(EXTRAS) if file.role == role]
    if role == "occlusion":
        candidates.append(SHIPPED_OCCLUSION)
    return next((file for file in candidates if file.is_file()), None)


def _usable(name: str, directory: Path) -> bool:
    manifest = read_manifest(directory)
    if manifest is not None:
        return complete(directory, manifest) and (name != OPEN or manifest.prepared_by == PREPARED_BY)
    return name not in (OPEN, EXTRAS) and any(directory.glob("*.onnx"))


def _brought(root: Path) -> list[str]:
    found = (path.parent.name for path in (root / "models").glob("[!.]*/*.onnx"))
    return sorted(set(found) - set(PACKS))


def _rows(pack: str, root: Path) -> list[Row]:
    directory = directory_of(pack, root)
    manifest = read_manifest(directory)
    known = {file.file: file for file in files_of(pack)}
    names = list(known) + sorted({path.name for path in directory.glob("*.onnx")} - set(known))
    rows = []
    for name in names:
        file, entry = known.get(name), manifest.files.get(name) if manifest else None
        sha256 = entry.sha256 if entry else file.sha256 if file and pack != OPEN else None
        state = problem(directory / name, sha256)
        if pack == OPEN and entry is None:
            state = "missing"  # without its manifest the pack is not used
        rows.append(
            Row(
                pack=pack,
                file=name,
                role=file.role if file else "",
                source=file.source if file else "brought by hand",
                licence=file.licence if file else NON_COMMERCIAL if pack in INSIGHTFACE_PACKS else "unknown",
                size=_size(directory / name) or (file.size if file else None),
                sha256=sha256 or (file.sha256 if file else None),
                state="present" if state is None else "missing" if state == "missing" else "damaged",
            )
        )
    return rows


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _unavailable(name: str, directory: Path, error: Exception) -> str:
    return (
        f"model pack {name!r} is not in {directory} and could not be fetched ({error}). "
        f"On a machine with network run `faces models fetch {name}`, then copy its models/{name} directory "
        f"to {directory}, or point INSIGHTFACE_MODELS_CACHE at the directory that holds models/{name}."
    )


def _unknown(name: str, directory: Path) -> str:
    return (
        f"model pack {name!r} is not in {directory} and is none that can be fetched "
        f"({', '.join(PACKS)}). Put its .onnx files into {directory}, or set INSIGHTFACE_MODEL to another pack."
    )
