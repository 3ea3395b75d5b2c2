"""The properties of a film are those of its frames: number, size, rate and duration."""

from fractions import Fraction
from pathlib import Path

import pytest

from facecore.video import probe
from tests.facecore.video.clips import make_clip


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mpg", "a.flv", "a.avi", "a.webm"])
def test_the_number_of_frames_is_that_of_the_film(tmp_path: Path, name: str) -> None:
    codec = {"a.mpg": "mpeg2video", "a.webm": "libvpx-vp9"}.get(name, "libx264")
    make_clip(tmp_path / name, codec=codec)
    info = probe(tmp_path / name, max_pixels=10**8)
    assert (info.frames, info.width, info.height, round(info.fps, 3)) == (100, 192, 128, 25)
    assert info.duration == pytest.approx(4.0, abs=0.05)


def test_frames_of_different_durations_are_counted(tmp_path: Path) -> None:
    times = [n * (n + 40) for n in range(90)]
    for name in ("a.mkv", "a.mp4"):
        make_clip(tmp_path / name, times, time_base=Fraction(1, 1000))
        assert probe(tmp_path / name, max_pixels=10**8).frames == 90
