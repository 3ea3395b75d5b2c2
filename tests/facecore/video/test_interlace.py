"""Where the fields of a frame show different moments, the picture is of one moment; others stay as they are."""

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.picture import Image

SIZE = 640, 480
FIELDS = 60
SPEED = 14
"""Pixels between two fields, 50 fields a second."""


@cache
def still() -> Image:
    noise = np.random.default_rng(7).integers(0, 256, (480, 640, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 40, 210, cv2.NORM_MINMAX)


@cache
def moment(field: int) -> Image:
    """A smooth picture that moves across a still one."""
    picture = still().copy()
    left = field * SPEED % (SIZE[0] - 240)
    picture[120:360, left : left + 240] = cv2.resize(picture[:120, :120], (240, 240))[:, ::-1] // 2 + 100
    return picture


def make_film(
    path: Path, codec: str, options: dict[str, str], pix_fmt: str, *, interlaced: bool = True
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        stream.bit_rate = 12_000_000
        for field in range(0, FIELDS, 2):
            picture = moment(field).copy()
            if interlaced:
                picture[1::2] = moment(field + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = field // 2, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def luma(picture: Image) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "codec", "options", "pix_fmt"),
    [
        ("flagged.mp4", "libx264", {"x264-params": "tff=1"}, "yuv420p"),
        ("flagged.ts", "mpeg2video", {"flags": "+ildct+ilme"}, "yuv420p"),
        ("the_flag_lies.mp4", "libx264", {}, "yuv420p"),
        ("the_flag_lies_ten_bits.mkv", "libx264", {}, "yuv422p10le"),
        ("captured.mov", "rawvideo", {}, "uyvy422"),
    ],
)
def test_a_moving_picture_is_that_of_one_field(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], pix_fmt: str
) -> None:
    film = tmp_path / name
    make_film(film, codec, options, pix_fmt)
    samples = list(open_source(film, Interval(0.4), max_pixels=10**8))
    assert len(samples) == 3
    for sample in samples:
        expected = moment(round(sample.timestamp * 50))
        difference = np.abs(luma(sample.image) - luma(expected))
        assert difference.mean() < 3 and np.quantile(difference[1::2], 0.999) < 40
        unmoved = np.abs(luma(sample.image)[:100] - luma(expected)[:100])
        assert unmoved.max() < 30, "what did not move keeps both fields"


def test_progressive_pictures_stay_as_they_are(tmp_path: Path) -> None:
    for name, options in (("a.mp4", {}), ("flagged.mp4", {"x264-params": "tff=1"})):
        make_film(tmp_path / name, "libx264", options, "yuv420p", interlaced=False)
        with av.open(str(tmp_path / name)) as container:
            frames = list(container.decode(video=0))
        for sample in open_source(tmp_path / name, Interval(0.4), max_pixels=10**8):
            frame = frames[round(sample.timestamp * 25)]
            assert np.array_equal(sample.image, frame.to_ndarray(format="bgr24", threads=1))
