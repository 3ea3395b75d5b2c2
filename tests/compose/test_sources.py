"""One bad name costs itself; folders give what is their owner's and say what else they hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compose.outputs import OutputOptions, Outputs
from compose.sources import Source, expand
from schemas.file_names import to_text
from schemas.requests import Parameters
from schemas.store.pictures import NO_PICTURES

OURS = (
    "a.mp4", "b/c.M2T", "b/d.jfif", "e.tiff", "f.divx", "g.heic", "h\ni.mkv", "-v.mts", "q?#%41.rmvb",
    "x" * 246 + ".mp4",
)  # fmt: skip
OTHERS = (
    "@eaDir/a.mp4/SYNOPHOTO_THUMB_M.jpg", ".Trash-1000/files/old.mp4", "$RECYCLE.BIN/x.mp4", "._a.mp4", ".DS_Store",
    ".stfolder/x.jpg", "#recycle/x.mp4", "lost+found/x.mp4", "Thumbs.db", "notes.txt", "raw.CR2", "b/.hidden/x.mp4",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*OURS, *OTHERS):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "folder" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"x")
    (tmp_path / "folder" / "loop").symlink_to(tmp_path / "folder")
    return tmp_path / "folder"


def test_a_folder_gives_the_media_of_its_owner_and_names_the_rest(folder: Path) -> None:
    sources, (note,) = expand([str(folder)])
    assert {source.name for source in sources} == {*OURS, os.fsdecode(b"caf\xe9.mp4")}
    assert not any(source.fault for source in sources)
    for clause in (
        "5 hidden", "(.DS_Store, .Trash-1000, ", "5 of the operating system (#recycle, $RECYCLE.BIN, @eaDir, ",
        "1 no video or picture (.txt)", "1 of a kind that is not supported (.cr2)", "1 a link to a folder (loop)",
    ):  # fmt: skip
        assert clause in note, clause


def test_a_pattern_does_not_match_thumbnails_of_network_storage(folder: Path) -> None:
    assert [source.path for source in expand([f"{folder}/*/*.jfif"])[0]] == [f"{folder}/b/d.jfif"]
    (source,) = expand([f"{folder}/**/*.jpg"])[0]
    assert source.fault == "no file matches this pattern"


def test_a_bad_argument_costs_itself(folder: Path) -> None:
    (folder / "empty").mkdir()
    endless = f"/{'x' * 300}/a.mp4"
    bad, good = [f"{folder}/no*.mp4", f"{folder}/empty", endless], f"{folder}/a.mp4"
    sources, _ = expand([*bad, good])
    assert [bool(source.fault) for source in sources] == [True, True, True, False]
    assert sources[2].fault == "file name too long"


def test_what_cannot_be_analysed_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / "none.mp4").touch()
    given = {
        "": "an empty name, not the directory that the command runs in",
        "/nope.mp4": "no such file or directory",
        "/dev/null": "this is neither a file nor a directory",
        f"{folder}/none.mp4": "this file is empty",
        "rtsp://a/1": "rtsp:// cannot be read; addresses begin with http:// or https://, files are given as paths",
        "http://me:secret@host/a.mp4": "this address carries a user name or password, which is not sent",
        "https:///a.mp4": "this address names no host in letters, digits, dots and hyphens",
        "http://host:99999/a.mp4": "this is no address: Port out of range 0-65535",
    }
    sources, _ = expand(list(given))
    assert [source.fault for source in sources] == list(given.values())


def test_addresses_and_file_urls_are_sources(folder: Path) -> None:
    sources, _ = expand(["HTTPS://host:8443/films/a%20b.mp4?token=1", f"file://{folder}/a.mp4"])
    assert [(s.path, s.name, s.is_address, s.fault) for s in sources] == [
        ("HTTPS://host:8443/films/a%20b.mp4?token=1", "a b.mp4", True, ""), (f"{folder}/a.mp4", "a.mp4", False, ""),
    ]  # fmt: skip
    assert expand([to_text(folder / os.fsdecode(b"caf\xe9.mp4"))])[0][0].path.endswith(
        os.fsdecode(b"caf\xe9.mp4")
    )


def test_a_folder_that_cannot_be_entered_is_named(folder: Path) -> None:
    """Tried as another user, since root may enter every folder."""
    (folder / "b").chmod(0)
    code = (
        "import os, sys; from compose.sources import expand\n"
        "os.getuid() or os.setuid(65534)\n"
        "print(ascii(expand(sys.argv[1:])[1]))"
    )
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:  # pytest's own folders
            parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    (folder / "b").chmod(0o755)
    assert "1 not readable (b)" in done.stdout, done.stderr


def test_output_names_that_are_too_long_are_shortened_with_a_hash(tmp_path: Path) -> None:
    names = ["é" * 120 + end for end in ("1.mp4", "2.mp4", "3.ts")] + [os.fsdecode(b"caf\xe9.mp4")]
    sources = [Source(f"/{name}", name) for name in names]
    outputs = Outputs(OutputOptions(out=f"{tmp_path}/out/"), sources)
    for source in sources:
        outputs.write(source, source.text.encode(), NO_PICTURES, Parameters())
    written = sorted((tmp_path / "out").iterdir())
    assert {file.read_text() for file in written} == {source.text for source in sources}
    assert all(len(os.fsencode(file.name)) <= 240 and file.suffix == ".json" for file in written)
