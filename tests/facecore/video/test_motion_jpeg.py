"""Pictures one after another are a film; a picture with other data behind it is a picture."""

import shutil
from pathlib import Path

import pytest

from facecore.video import Interval, open_source
from facecore.video.images import encode
from tests.facecore.video.clips import number_in, numbered

FRAMES = 100


def sampled(path: Path) -> list[tuple[float, int]]:
    """The samples of a film whose name says nothing, as those of an open descriptor."""
    nameless = path.with_suffix("")
    shutil.copy(path, nameless)
    return [(s.timestamp, number_in(s.image)) for s in open_source(nameless, Interval(1.0), max_pixels=10**8)]


@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff\xff"])
def test_raw_motion_jpeg_is_a_film(tmp_path: Path, padding: bytes) -> None:
    film = tmp_path / "film.mjpeg"
    film.write_bytes(b"".join(encode(numbered(n), 90) + padding for n in range(FRAMES)))
    assert sampled(film) == [(n, 25 * n) for n in range(FRAMES // 25)]
    source = open_source(film, Interval(1.0), max_pixels=10**8)
    assert (source.method, source.info.frames, source.info.duration) == ("decoder", FRAMES, FRAMES / 25)
    source.close()


def test_the_multipart_stream_of_a_camera_is_a_film(tmp_path: Path) -> None:
    film = tmp_path / "film.mjpg"
    parts = [encode(numbered(n), 90) for n in range(FRAMES)]
    film.write_bytes(
        b"".join(
            b"--camera\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(part), part)
            for part in parts
        )
    )
    assert sampled(film) == [(n, 25 * n) for n in range(FRAMES // 25)]


@pytest.mark.parametrize("behind", [b"\0" * 99, b"trailer", "thumbnail"])
def test_a_picture_with_data_behind_it_is_a_picture(tmp_path: Path, behind: bytes | str) -> None:
    picture = tmp_path / "a.jpg"
    data = encode(numbered(0, 64, 48), 90) if isinstance(behind, str) else behind
    picture.write_bytes(encode(numbered(7), 90) + data)
    assert sampled(picture) == [(0.0, 7)]
