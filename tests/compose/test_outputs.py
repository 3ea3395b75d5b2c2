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
