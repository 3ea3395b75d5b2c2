"""Tables of the commands: ids are whole, lines fit the terminal."""

from pathlib import Path

import pytest

from compose.arguments import to_type
from compose.terminal import print_table

ROWS = [
    ("faces-0123456789abcdef01234567", "11-26 00:17", "completed", "12", "/media/holiday/day 1/beach.mp4"),
    (
        "faces-0123456789abcdef01234568",
        "11-26 00:18",
        "failed",
        "",
        "beach.mp4: There is no file at this place.",
    ),
]
COLUMNS = ("job", "submitted", "status", "people", "source, or why it failed")


@pytest.mark.parametrize("columns", [80, 140, None])
def test_ids_are_whole_and_lines_fit(
    columns: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if columns:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))  # read by the runner of the tests too
    print_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [row[0] for row in ROWS]
    assert columns is None or max(map(len, lines)) <= columns
    if columns == 80:
        assert lines[1].endswith("1/beach.mp4") and lines[2].endswith("…"), "a path is cut from the left"
    else:
        assert lines[1].endswith(ROWS[0][4]) and lines[2].endswith(ROWS[1][4]), "nothing is cut without need"


def test_a_hint_is_a_command_that_can_be_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "faces"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bin/faces", "analyze"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert to_type("people list", Path("my data")) == "bin/faces people list --data 'my data'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert to_type("people list") == "faces people list"
