"""The commands of tests.eval and tests.bench say in a sentence that an input is missing, empty or of another kind."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.inputs import (
    Unusable,
    data_folder,
    features,
    labels,
    people_folder,
    require_pairs,
    there,
    video_file,
)

OUTPUTS = {"--out", "--keep", "--models", "--write"}
"""Arguments that are no inputs."""
_PATH = re.compile(r'add_argument\(\s*"([^"]+)",[^)]*?type=Path\b')


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "notes.txt").write_text("{}")
    (tmp_path / "nothing").touch()
    np.savez(tmp_path / "one.npz", embeddings=np.zeros((2, 4)), names=np.array(["Ann_1", "Ann_2"]))
    np.savez(tmp_path / "other.npz", vectors=np.zeros((2, 4)))
    return tmp_path


@pytest.mark.parametrize(
    ("of", "name", "said"),
    [
        (there, "gone", "nothing at"), (there, "empty", "is empty"), (there, "nothing", "is empty"),
        (people_folder, "empty", "is empty"), (people_folder, "flat", "no photographs"),
        (data_folder, "flat", "no videos, images"), (features, "flat/notes.txt", "no .npz"),
        (features, "other.npz", "no .npz"), (features, "one.npz", "several people"),
        (labels, "flat", "no JSON"), (labels, "flat/notes.txt", "no labels"), (video_file, "gone", "no file"),
        (video_file, "empty", "directory"), (video_file, "flat/notes.txt", "not a video"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(inputs: Path, of: Callable[[str], Path], name: str, said: str) -> None:
    with pytest.raises(ArgumentTypeError, match=said):
        of(str(inputs / name))


def test_pairs_need_two_people_and_two_photographs_of_one(inputs: Path) -> None:
    for people in ([], ["Ann"], ["Ann", "Ann"], ["Ann", "Ben"]):
        with pytest.raises(Unusable, match="at least two people"):
            require_pairs(people, inputs)
    require_pairs(["Ann", "Ann", "Ben"], inputs)


def test_every_input_of_a_command_is_checked() -> None:
    files = [file for folder in ("eval", "bench") for file in (Path(__file__).parent / folder).glob("*.py")]
    unchecked = {(file.name, name) for file in files for name in _PATH.findall(file.read_text())}
    assert {name for _, name in unchecked} <= OUTPUTS, unchecked
