"""A film in PQ or HLG gives the pictures of its standard version; other films are converted as before."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.heif import stated_colours
from facecore.video.images import decode, decoding_bytes
from facecore.video.picture import Image

BT709_TO_BT2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
KR, KB = 0.2627, 0.0593


def pq(nits: np.ndarray) -> np.ndarray:
    power = np.clip(nits / 10_000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    luminance = np.maximum(nits @ np.array([KR, 1 - KR - KB, KB]) / 1000, 1e-6)[..., None]
    scene = np.clip(nits / 1000 * luminance ** (1 / 1.2 - 1), 0, 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def standard() -> Image:
    """Coloured patches with soft edges, of all tones."""
    patches = np.random.default_rng(3).integers(16, 240, (6, 8, 3), np.uint8)
    patches[0, 0] = 250
    return cv2.resize(patches, (256, 192), interpolation=cv2.INTER_LINEAR)


def make_film(path: Path, transfer: int, white: float, highlight: float) -> None:
    light = (standard()[:, :, ::-1] / 255) ** 2.4 @ BT709_TO_BT2020.T * white
    light[:24, -24:] = highlight
    code = (pq if transfer == 16 else hlg)(light)
    luma = code @ np.array([KR, 1 - KR - KB, KB])
    blue, red = (code[:, :, 2] - luma) / (2 * (1 - KB)), (code[:, :, 0] - luma) / (2 * (1 - KR))
    planes = [64 + 876 * luma, *(512 + 896 * cv2.resize(c, None, fx=0.5, fy=0.5) for c in (blue, red))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        for number in range(3):
            frame = av.VideoFrame(256, 192, "yuv420p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                lines = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                lines[:, : values.shape[1]] = values.round()
                plane.update(lines.tobytes())
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
@pytest.mark.parametrize(("white", "highlight", "most"), [(203, 203, 8), (203, 900, 25), (100, 100, 8)])
def test_the_picture_is_that_of_the_standard_version(
    tmp_path: Path, transfer: int, white: float, highlight: float, most: float
) -> None:
    make_film(tmp_path / "film.mkv", transfer, white, highlight)
    (sample,) = open_source(tmp_path / "film.mkv", Interval(1.0), max_pixels=10**8)
    shown, expected = (i[:, : 256 - 32].astype(int) for i in (sample.image, standard()))
    assert np.abs(shown - expected).mean() < most
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("kind", [".png", ".avif"])
@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
def test_a_still_is_that_of_the_standard_version_too(transfer: int, kind: str) -> None:
    light = (standard()[:, :, ::-1] / 255) ** 2.4 @ BT709_TO_BT2020.T * 203
    light[:24, -24:] = 203
    code = ((pq if transfer == 16 else hlg)(light)[:, :, ::-1] * 255).round().astype(np.uint8)
    data = bytearray(cv2.imencode(kind, code)[1])
    if kind == ".png":
        chunk = b"cICP" + bytes([9, transfer, 0, 1])
        data[33:33] = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    else:
        struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, 9, transfer)
    shown = decode(bytes(data))
    assert np.abs(shown.astype(int) - standard())[:, : 256 - 32].mean() < 8
    assert shown.nbytes < decoding_bytes(bytes(data))


@pytest.mark.parametrize("length", range(8, 13))
def test_colours_that_are_cut_off_are_not_stated(length: int) -> None:
    assert stated_colours(b"colrnclx\0\x09\0\x10"[:length]) == ((9, 16) if length == 12 else None)


@pytest.mark.parametrize(("colorspace", "height"), [(1, 720), (5, 480), (9, 1080)])
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_are_those_that_the_file_states(
    tmp_path: Path, colorspace: int, height: int, full: bool
) -> None:
    picture = cv2.resize(standard(), (height * 4 // 3, height))
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], height, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, 2 if full else 1
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
            format="yuv420p", dst_colorspace=colorspace, dst_color_range=2 if full else 1
        )
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (sample,) = open_source(tmp_path / "film.mkv", Interval(1.0), max_pixels=10**8)
    assert np.abs(sample.image.astype(int) - picture).mean() < 3
