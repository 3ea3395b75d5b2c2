"""Files of kinds that people take for films, or do not take for films."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from facecore.video import Interval, SourceError, open_source


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "avif"])
def test_an_animation_is_a_film(tmp_path: Path, suffix: str) -> None:
    pictures = [Pillow.fromarray(np.full((32, 48, 3), 60 * n, np.uint8)) for n in range(4)]
    film = tmp_path / f"film.{suffix}"
    pictures[0].save(film, save_all=True, append_images=pictures[1:], duration=1000)
    source = open_source(film, Interval(1.0), max_pixels=10**6)
    shown = [(round(sample.timestamp, 3), float(sample.image.mean())) for sample in source]
    assert [t for t, _ in shown] == [0.0, 1.0, 2.0, 3.0]
    assert [value for _, value in shown] == pytest.approx([0, 60, 120, 180], abs=3)
    source.close()


def test_an_animated_png_with_a_colour_profile_does_not_end_the_process(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pictures = [Pillow.fromarray(np.full((32, 48, 3), 60 * n, np.uint8)) for n in range(4)]
    film = tmp_path / "film.png"
    pictures[0].save(film, save_all=True, append_images=pictures[1:], duration=1000, icc_profile=profile)
    look = f"""
from facecore.video import Interval, open_source
import gc
assert len(list(open_source({str(film)!r}, Interval(1.0), max_pixels=10**6))) == 4
gc.collect()
"""
    subprocess.run([sys.executable, "-c", look], check=True)


def test_a_png_of_one_picture_is_a_picture(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "one.png")
    source = open_source(tmp_path / "one.png", Interval(1.0), max_pixels=10**6)
    assert (source.method, len(list(source))) == ("image", 1)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\4\0\0\0\0\0\0", "MP3"),
        (b"RIFF\0\1\0\0WAVEfmt ", "WAV"),
        (b"FORM\0\0\1\0AIFFCOMM", "AIFF"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (b"\xff\xf1\x50\x80", "AAC"),
    ],
)
def test_an_audio_file_is_named_as_one(tmp_path: Path, head: bytes, kind: str) -> None:
    (tmp_path / "song.mp4").write_bytes(head + bytes(2000))
    with pytest.raises(SourceError, match=rf"is an audio file \({kind}\)"):
        open_source(tmp_path / "song.mp4", Interval(1.0), max_pixels=10**6)
