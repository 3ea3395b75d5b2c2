"""Pictures are decoded upright, and decompression bombs are refused by their headers."""

import re
import struct
import sys
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from facecore.video import Interval, SourceError, Timestamps, open_source, probe
from facecore.video.images import decode, decoding_bytes, encode, image_kind, picture_size
from facecore.video.picture import Image
from tests.facecore.video import bombs
from tests.facecore.video.clips import number_in, numbered

KINDS = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "AVIF": ".avif", "BMP": ".bmp"}


def encoded(extension: str, number: int = 1234) -> bytes:
    done, data = cv2.imencode(extension, numbered(number))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_a_source_of_one_frame(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.mp4"  # by content, not by name
    path.write_bytes(encoded(KINDS[kind]))
    assert image_kind(path.read_bytes()) == kind
    info = probe(path, max_pixels=10**6)
    assert (info.width, info.height, info.frames, info.codec) == (192, 128, 1, kind.lower())
    for plan in (Interval(2.0), Timestamps((1.0, 2.0))):
        source = open_source(path, plan, max_pixels=10**6)
        [frame] = source
        assert (frame.index, frame.timestamp, number_in(frame.image)) == (0, 0.0, 1234)
        assert (source.method, source.expected) == ("image", 1)
    assert list(open_source(path, Interval(2.0), start_index=1, max_pixels=10**6)) == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = numbered(4321)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    tags = (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    )
    plain = encode(np.ascontiguousarray(stored), 95)
    tagged = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags + plain[2:]
    image = decode(tagged)
    assert image.shape == (128, 192, 3)
    assert number_in(image) == 4321


def test_an_orientation_in_xmp_changes_neither_picture_nor_size(tmp_path: Path) -> None:
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for name, mode in (("a.jpg", "RGB"), ("a.png", "RGBA"), ("a.webp", "RGB")):
        picture, text = Pillow.fromarray(numbered(5)[:, :, ::-1]).convert(mode), PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        picture.save(tmp_path / name, **({"pnginfo": text} if name == "a.png" else {"xmp": xmp.encode()}))
        data = (tmp_path / name).read_bytes()
        assert decode(data).shape[1::-1] == picture_size(data, 10**6) == (192, 128)


def test_bytes_between_the_segments_of_a_jpeg_are_left_out() -> None:
    picture = encode(numbered(321), 95)
    end = 4 + int.from_bytes(picture[4:6])
    assert number_in(decode(picture[:end] + bytes(104) + b"\xff\0" + picture[end:])) == 321


def test_encoding_keeps_the_picture() -> None:
    image = numbered(77)
    assert np.abs(decode(encode(image, 95)).astype(int) - image).mean() < 4


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xd8\xff", b"not a picture", b"\xff\xd8\xff\xe0" + bytes(1000)]
)
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(SourceError, match="picture"):
        decode(garbage)


@pytest.mark.parametrize("extension", KINDS.values())
def test_a_torn_picture_is_refused_or_shown_in_part(extension: str) -> None:
    data = encoded(extension)
    for length in (12, 30, 100, len(data) // 2):
        try:
            image = decode(data[:length])
        except SourceError:
            continue
        assert image.shape == (128, 192, 3)


def jpeg_bomb() -> bytes:
    """A small start-of-frame segment in front, a huge one behind it."""
    data = encoded(".jpg")
    start = data.index(b"\xff\xc0")
    huge = bytearray(data[start : start + 19])
    huge[5:9] = struct.pack(">HH", 65500, 65500)
    return data[: start + 19] + bytes(huge) + data[start + 19 :]


def webp_bomb() -> bytes:
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2


@pytest.mark.parametrize("bomb", [bombs.png(100_000), bombs.png(20_000), jpeg_bomb(), webp_bomb()])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, bomb: bytes) -> None:
    path = tmp_path / "bomb.jpg"
    path.write_bytes(bomb)
    with pytest.raises(SourceError, match=r"at most 100000000 are allowed \(FACES_MAX_PIXELS\)"):
        open_source(path, Interval(1.0), max_pixels=100_000_000)


def animated_webp(durations: list[int]) -> bytes:
    animation = cv2.Animation()
    animation.frames = [numbered(number) for number in range(len(durations))]
    animation.durations = durations
    return cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()


def test_an_animated_webp_is_a_film(tmp_path: Path) -> None:
    path = tmp_path / "animation.webp"
    path.write_bytes(animated_webp([100, 100, 500, 40, 60, 200]))
    source = open_source(path, Interval(0.1), max_pixels=10**6)
    assert [(s.index, s.timestamp, number_in(s.image)) for s in source] == [
        (index, round(0.1 * index, 9), number) for index, number in enumerate([0, 1, 2, 2, 2, 2, 2, 3, 5, 5])
    ]
    assert (source.method, source.expected, source.info.duration) == ("decoder", 10, 1.0)
    rest = open_source(path, Interval(0.1), start_index=7, end_index=9, max_pixels=10**6)
    assert [(s.index, number_in(s.image)) for s in rest] == [(7, 3), (8, 5)]


def test_an_animation_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "animation.webp"
    path.write_bytes(animated_webp([10] * 20))
    with pytest.raises(
        SourceError, match=r"20 frames of 192 x 128 pixels.*at most 100000 pixels are allowed"
    ):
        probe(path, max_pixels=100_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        assert list(open_source(path, Interval(0.1), max_pixels=10**6))
    except SourceError as error:
        assert "cannot be decoded" in str(error)


def heic(image: Image) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC is in the extra heic")
    from io import BytesIO

    data = BytesIO()
    heif = pillow_heif.from_bytes("BGR", (image.shape[1], image.shape[0]), image.tobytes())
    heif.save(data, quality=90)
    return data.getvalue()


def test_heic_is_read_where_its_library_is_installed(tmp_path: Path) -> None:
    path = tmp_path / "photograph.heic"
    path.write_bytes(heic(numbered(77)))
    assert image_kind(path.read_bytes()) == "HEIC"
    assert probe(path, max_pixels=10**6).codec == "heic"
    [frame] = open_source(path, Interval(2.0), max_pixels=10**6)
    assert number_in(frame.image) == 77
    with pytest.raises(SourceError, match="at most 1000 are allowed"):
        decode(path.read_bytes(), max_pixels=1000)


def test_heic_data_that_is_larger_than_its_header_states_is_not_decoded() -> None:
    """The library does not decode more pixels than the header states, so that the check of these is enough."""
    data = bytearray(heic(np.zeros((1000, 1000, 3), np.uint8)))
    for found in re.finditer(b"ispe", bytes(data)):
        struct.pack_into(">II", data, found.start() + 8, 64, 64)
    with pytest.raises(SourceError, match="1000x1000 exceeds the maximum"):
        decode(bytes(data), max_pixels=10**5)


def test_damaged_heic_is_refused(tmp_path: Path) -> None:
    whole = heic(numbered(77))
    with pytest.raises(SourceError, match="HEIC picture cannot be decoded"):
        decode(whole[: len(whole) // 2])


def test_heic_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(numbered(77))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SourceError, match=r"pip install 'faces\[heic\]'"):
        decode(data)


@pytest.mark.parametrize(("side", "scans", "reason"), [
    (64, 5000, "5000 scans; at most 100"), (1000, 101, "101 scans"), (1500, 99, "99 scans of 1500 x 1500 pixels"),
])  # fmt: skip
def test_a_picture_of_many_scans_is_refused_before_it_is_decoded(side: int, scans: int, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        decode(bombs.progressive_jpeg(side, scans), max_pixels=3_000_000)


@pytest.mark.parametrize(
    "markers", [b"\xff\xe5\0\2", b"\xff\xd0", b"\xff"], ids=["segments", "restarts", "fill"]
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_jpeg_of_a_million_markers_takes_no_time(markers: bytes, after: bool) -> None:
    picture = encode(numbered(1), 90)
    place = picture.rindex(b"\xff\xd9") if after else 2
    began = time.process_time()
    with suppress(SourceError):
        decode(picture[:place] + markers * 1_000_000 + picture[place:])
    assert time.process_time() - began < 0.5


def test_the_size_of_a_gif_is_that_of_its_picture_not_of_its_screen() -> None:
    data = BytesIO()
    Pillow.new("RGB", (1000, 1000)).save(data, "GIF")
    gif = bytearray(data.getvalue())
    struct.pack_into("<HH", gif, 6, 1, 1)
    assert decoding_bytes(bytes(gif)) >= 3 * 1000 * 1000
    with pytest.raises(SourceError, match="1000 x 1000 pixels"):
        decoding_bytes(bytes(gif), max_pixels=10_000)


def test_scans_of_thumbnails_and_appended_pictures_do_not_count() -> None:
    other = bombs.progressive_jpeg(64, 90)
    picture = bombs.progressive_jpeg(64, 20, thumbnail=other, appended=other * 10)
    assert decode(picture, max_pixels=10**6).shape == (64, 64, 3)


@pytest.mark.parametrize(("extension", "options"), [
    (".jpg", []), (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]), (".png", []), (".webp", []), (".avif", []),
    (".bmp", []),
])  # fmt: skip
def test_the_memory_of_decoding_is_known_before(extension: str, options: list[int]) -> None:
    picture = cv2.imencode(extension, np.zeros((200, 300, 3), np.uint8), options)[1].tobytes()
    assert decode(picture).nbytes <= decoding_bytes(picture) <= 28 * 200 * 300


def test_the_size_of_an_avif_is_that_of_its_data_not_what_its_header_states() -> None:
    picture = bytearray(
        cv2.imencode(".avif", np.zeros((2000, 2000, 3), np.uint8), [cv2.IMWRITE_AVIF_SPEED, 10])[1]
    )
    struct.pack_into(">II", picture, picture.index(b"ispe") + 8, 100, 100)
    assert decoding_bytes(bytes(picture)) >= 2000 * 2000 * 3
    with pytest.raises(SourceError, match="2000 x 2000 pixels; at most 1000000"):
        decode(bytes(picture), max_pixels=10**6)


def test_an_avif_whose_metadata_are_not_utf_8_is_read() -> None:
    picture = encoded(".avif", 9).replace(b"MA1B", b"M\xe91B")  # a brand that no player knows
    assert number_in(decode(picture)) == 9


def test_of_an_animated_avif_the_still_picture_is_decoded() -> None:
    animation = cv2.Animation()
    animation.frames, animation.durations = [numbered(7), numbered(8)], [100, 100]
    moving = cv2.imencodeanimation(".avif", animation)[1].tobytes()
    assert b"moov" in moving and number_in(decode(moving)) == 7
    index = moving.index(b"stsz")
    bomb = moving[: index + 8] + struct.pack(">II", 1, 2**31 - 1) + moving[index + 16 :]
    assert number_in(decode(bomb)) == 7, "the index of the animation is not read"
