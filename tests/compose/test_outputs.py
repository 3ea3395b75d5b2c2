"""The files that `faces analyze` writes."""

from pathlib import Path

import pytest

from compose.outputs import OutputError, OutputOptions, Outputs
from compose.sources import Source
from schemas.requests import Parameters
from schemas.store.pictures import NO_PICTURES
from tests.chaos.faults import fill, small_disk


def test_a_full_disk_is_named_with_the_file_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mebibytes=1) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        outputs = Outputs(OutputOptions(out=f"{disk}/"), [source := Source("/film.mp4", "film.mp4")])
        filler = fill(disk)
        with pytest.raises(OutputError, match=r"film\.mp4\.json cannot be written: no space left on device"):
            outputs.write(source, b"x" * 100_000, NO_PICTURES, Parameters())
        assert list(disk.iterdir()) == [filler]


def test_all_options_that_cannot_be_followed_are_named_at_once(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x")
    options = OutputOptions(
        out=f"{tmp_path}/results", report=str(film), csv=tmp_path / "a", parquet=tmp_path / "a"
    )
    with pytest.raises(OutputError) as refused:
        Outputs(options, [Source(str(film), "film.mp4")])
    said = str(refused.value)
    assert f"to make it, add a slash: --out {tmp_path}/results/" in said
    assert f"{film} is a source and would be overwritten" in said
    assert f"{tmp_path}/a is named by two options" in said
    with pytest.raises(OutputError, match=r"--csv .*: this is a directory"):
        Outputs(OutputOptions(csv=tmp_path), [Source(str(film), "film.mp4")])
    assert sorted(tmp_path.iterdir()) == [film], "nothing was made"
