"""The log file of `faces up`: private, bounded, and written on after a full disk."""

import io
from pathlib import Path

import pytest

from compose import log_file
from compose.log_file import LogFile


def test_the_file_is_private_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_BYTES", 100)
    screen = io.StringIO()
    log = LogFile(tmp_path / "faces.log", screen)
    for number in range(50):
        log.write(f"line {number}\n")
    log.close()
    assert screen.getvalue().count("\n") == 50
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["faces.log", "faces.log.1"]
    assert all(file.stat().st_size <= 110 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert "line 49\n" in files[0].read_text()


def test_lines_that_a_full_disk_costs_are_counted(tmp_path: Path) -> None:
    log = LogFile(Path("/dev/full"))
    log.write("lost\n")
    log.write("lost\n")
    log.path = tmp_path / "faces.log"
    log.write("kept\n")
    log.close()
    assert log.path.read_text() == "2 lines are missing here: the disk was full\nkept\n"
