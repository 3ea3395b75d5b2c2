"""One view of a stereoscopic film is analysed; two people side by side are two people."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.picture import Image


def view(shift: int, width: int = 512, height: int = 512) -> Image:
    """A scene, of which the near part is shifted further than the rest."""
    noise = np.random.default_rng(11).integers(0, 256, (height // 16, width // 16 + 8, 3), np.uint8)
    scene = cv2.resize(noise, (width + 128, height), interpolation=cv2.INTER_CUBIC)
    picture = scene[:, 64 + shift // 2 :][:, :width].copy()
    left = width // 3 + shift
    cv2.circle(picture, (left + 80, height // 2), 90, (60, 120, 220), -1)
    picture[height // 2 - 40 : height // 2 + 40, left + 40 : left + 120] = scene[:80, :80]
    return picture


def make_film(path: Path, picture: Image, parameters: str = "", tag: str = "") -> None:
    options = {"crf": "20", "x264-params": parameters} if parameters else {"crf": "20"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        if tag:
            stream.metadata["stereo_mode"] = tag
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def sampled(path: Path) -> tuple[Image, list[str]]:
    source = open_source(path, Interval(1.0), max_pixels=10**8)
    (sample,) = source
    return sample.image, source.warnings


@pytest.mark.parametrize("stated", ["", "by the codec", "by the container"])
@pytest.mark.parametrize("layout", ["side by side", "top and bottom"])
def test_one_view_is_analysed(tmp_path: Path, layout: str, stated: str) -> None:
    beside = layout == "side by side"
    picture = (np.hstack if beside else np.vstack)([view(0), view(8)])
    number, tag = ("3", "left_right") if beside else ("4", "top_bottom")
    make_film(
        tmp_path / "film.mkv", picture,
        parameters=f"frame-packing={number}" if stated == "by the codec" else "",
        tag=tag if stated == "by the container" else "",
    )  # fmt: skip
    image, warnings = sampled(tmp_path / "film.mkv")
    assert image.shape == (512, 512, 3)
    assert np.abs(image.astype(int) - view(0)).mean() < 6
    assert [w for w in warnings if f"stereoscopic ({layout})" in w]


def test_squeezed_views_are_stretched_to_the_frame(tmp_path: Path) -> None:
    views = [cv2.resize(view(shift, 1280, 720), (640, 720)) for shift in (0, 16)]
    make_film(tmp_path / "film.mp4", np.hstack(views))
    image, warnings = sampled(tmp_path / "film.mp4")
    assert image.shape == (720, 1280, 3) and warnings
    assert np.abs(image.astype(int) - view(0, 1280, 720)).mean() < 10


def test_other_pictures_are_analysed_whole(tmp_path: Path, shared_data: Path) -> None:
    blank = np.full((512, 1024, 3), 90, np.uint8)
    wall = np.tile(view(0, 512, 256), (2, 2, 1))
    for picture in (view(0, 1024), blank, np.hstack([view(0), view(0)[:, ::-1]]), wall):
        make_film(tmp_path / "film.mp4", picture)
        image, warnings = sampled(tmp_path / "film.mp4")
        assert (image.shape, warnings) == (picture.shape, [])
    twice = open_source(shared_data / "videos" / "zl_same_person_twice.mp4", Interval(0.5), max_pixels=10**8)
    assert {sample.image.shape for sample in twice} == {(516, 1030, 3)}
