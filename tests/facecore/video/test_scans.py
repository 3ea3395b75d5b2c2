"""Films of JPEG pictures: scans are counted before a frame is decoded."""

import time
from pathlib import Path

import pytest

from facecore.video import Interval, SourceError, open_source
from tests.facecore.video import bombs


@pytest.mark.parametrize("container", ["mp4", "avi", "mkv", "mov"])
@pytest.mark.parametrize(("number", "early"), [(0, b""), (3, b""), (0, b"\xff\xd9")])
def test_a_film_of_pictures_with_many_scans_is_refused_before_they_are_decoded(
    tmp_path: Path, container: str, number: int, early: bytes
) -> None:
    """Also where only a later frame has them, and where an end of picture comes before its beginning."""
    film, bomb = tmp_path / f"scans.{container}", bombs.progressive_jpeg(1000, 3000)
    bombs.film_of_jpegs(film, [bombs.progressive_jpeg(1000, 10)] * number + [bomb[:2] + early + bomb[2:]] * 5)
    began = time.process_time()
    with pytest.raises(SourceError, match=r"3000 scans; at most 24"):
        list(open_source(film, Interval(1.0), max_pixels=10**7))
    assert time.process_time() - began < 5, "a frame takes more than half a second"


def test_a_film_of_progressive_pictures_is_sampled(tmp_path: Path) -> None:
    film = tmp_path / "progressive.mkv"
    bombs.film_of_jpegs(film, [bombs.progressive_jpeg(64, 12)] * 3)
    assert len(list(open_source(film, Interval(1.0), max_pixels=10**7))) == 3
