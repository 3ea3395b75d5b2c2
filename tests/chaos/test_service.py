"""Faults with a fixed seed on the whole service: every job ends once, with the result of an undisturbed run."""

from pathlib import Path

import pytest

from compose.demo import SHOTS, make_video
from tests.chaos.disturb import disturbed


@pytest.mark.timeout(900)  # on a busy machine killed workers take long to load their models again
def test_nothing_is_lost_or_done_twice_under_faults(
    models_path: Path, tmp_path: Path, group_photograph: Path
) -> None:
    film = tmp_path / "film.mp4"
    make_video(group_photograph, film, SHOTS[1:4])  # short, and a part of the people: the faults take as long
    (data := tmp_path / "data").mkdir()
    done, jobs = disturbed(models_path, data, [film], kills=3, seed=3)
    assert done["kill"] >= 3 and done["results compared"] >= 4 and jobs >= 9
