"""The first steps, as their page has them: every command in one shell, in a home directory of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from compose.look import portraits
from tests.api.test_report import Page
from tests.documents import FIRST_STEPS, ROOT, sh_blocks

SERVICE = "faces up"


def test_the_second_film_knows_who_was_named_in_the_first(models_path: Path, tmp_path: Path) -> None:
    if not (Path(sys.prefix) / "bin" / "faces").exists():
        pytest.skip("the command faces is not installed in this environment")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    page = ROOT / FIRST_STEPS
    before = sh_blocks(page)[: next(n for n, block in enumerate(sh_blocks(page)) if block.strip() == SERVICE)]
    steps = re.sub(r"^make setup$", "", "".join(before), flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", steps],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("FACES_")},
            "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "INSIGHTFACE_MODELS_CACHE": str(models_path),
        },
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 people in 1 file; library home" in done.stdout
    assert "all people of the library: faces people list" in done.stderr
    result = msgspec.json.decode((tmp_path / "second.json").read_bytes())
    labels = [face["label"] for face in result["faces"]]
    assert labels.count("Ann") == 1, "known in the second film, without being asked for"
    (job,) = Page((tmp_path / "second.html").read_bytes()).data
    assert [person["label"] for person in job["people"]].count("Ann") == 1
    assert len(list(portraits((tmp_path / "first.html").read_text()))) == 6, (
        "make demo shows them in the terminal"
    )
    shown = done.stdout.rpartition("probability")[2]
    assert "first.mp4" in shown and "second.mp4" in shown, "faces people show names both films"
