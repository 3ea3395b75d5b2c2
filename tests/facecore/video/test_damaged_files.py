"""Truncated and damaged files give their intact frames and warnings; unusable files are refused with a reason."""

import random
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecore.video import Interval, SourceError, open_source, probe
from facecore.video.keyframes import nearest_keyframes
from tests.facecore.video.clips import make_clip, number_in

FAST_START = {"movflags": "faststart"}


def cut(path: Path, fraction: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])


def garble(path: Path, first: float, last: float) -> None:
    data = bytearray(path.read_bytes())
    for position in range(int(len(data) * first), int(len(data) * last)):
        data[position] = random.Random(position).randrange(256)
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.avi", "film.mpg", "film.flv"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_truncated_file_gives_the_frames_it_still_has(tmp_path: Path, name: str, b_frames: int) -> None:
    path = tmp_path / name
    codec = "mpeg2video" if path.suffix == ".mpg" else "libx264"
    options = FAST_START if path.suffix == ".mp4" else None
    make_clip(path, range(200), b_frames=b_frames, codec=codec, container_options=options)
    whole = [number_in(frame.image) for frame in open_source(path, Interval(0.2), max_pixels=10**8)]
    assert whole == [5 * i for i in range(40)]
    cut(path, 0.5)
    source = open_source(path, Interval(0.2), max_pixels=10**8)
    sampled = [number_in(frame.image) for frame in source]
    assert 12 <= len(sampled) <= 28
    assert sampled[:-2] == whole[: len(sampled) - 2]  # the last ones may be torn
    if path.suffix in (".mp4", ".mkv", ".avi", ".flv"):  # in a stream without an index any end is an end
        assert source.warnings


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts"])
@pytest.mark.parametrize("threads", [1, 2])
def test_damage_in_the_middle_leaves_the_rest_exact(tmp_path: Path, name: str, threads: int) -> None:
    path = tmp_path / name
    container_options = FAST_START if path.suffix == ".mp4" else None
    make_clip(path, range(250), b_frames=2, container_options=container_options)
    garble(path, 0.45, 0.5)
    source = open_source(path, Interval(0.2), max_pixels=10**8, threads=threads)
    sampled = {frame.index: number_in(frame.image) for frame in source}
    assert source.warnings
    assert len(sampled) >= 48
    wrong = [index for index, number in sampled.items() if number != 5 * index]
    # A tenth of the film's keyframe intervals is hit; what depends on them may be wrong, nothing else.
    assert all(15 <= index <= 35 for index in wrong), wrong


def test_a_film_whose_index_was_never_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_clip(path)
    cut(path, 0.5)
    with pytest.raises(SourceError, match=r"film\.mp4 is an incomplete MP4 file"):
        probe(path, max_pixels=10**8)


def test_a_film_that_ends_before_its_first_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_clip(path, container_options=FAST_START)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 20])
    with pytest.raises(SourceError, match=r"film\.mp4 has no frame that can be decoded"):
        list(open_source(path, Interval(1.0), max_pixels=10**8))


def test_a_jump_of_the_timestamps_to_a_very_large_value_does_not_stretch_the_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    for_ever = 10**15  # ms
    make_clip(path, [0, 40, for_ever, for_ever + 40], b_frames=2, time_base=Fraction(1, 1000))
    source = open_source(path, Interval(0.5), max_pixels=10**8)
    assert source.expected == 1
    assert [number_in(frame.image) for frame in source] == [0]
    assert "jump ahead" in source.warnings[0]
    plan = nearest_keyframes(
        path, Interval(0.5), probe(path, max_pixels=10**8), max_pixels=10**8, max_samples=10**5
    )
    assert plan == Interval(0.5)


def refusal(path: Path, max_pixels: int = 10**8) -> str:
    with pytest.raises(SourceError) as raised:
        probe(path, max_pixels=max_pixels)
    return str(raised.value)


def test_files_that_are_no_videos_are_refused_with_a_reason(tmp_path: Path) -> None:
    missing, empty, text, sound = (
        tmp_path / n for n in ("missing.mp4", "empty.mp4", "text.mp4", "sound.mp4")
    )
    empty.touch()
    text.write_text("This is no video at all.\n" * 100)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sine:
        sine.setparams((1, 2, 8000, 0, "NONE", ""))
        sine.writeframes(np.zeros(8000, np.int16).tobytes())
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert refusal(missing) == f"There is no file at {missing}."
    assert refusal(tmp_path) == f"{tmp_path} is a directory, not a video."
    assert refusal(empty) == f"{empty} is empty."
    assert refusal(text).startswith(f"{text} is not a video that can be read")
    assert refusal(sound) == f"{sound} has no video stream, only audio."


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_clip(path, range(3))
    assert "at most 1000 are allowed (FACES_MAX_PIXELS)" in refusal(path, max_pixels=1000)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{other}</BaseURL></MPD>',
    ],
)
def test_a_playlist_cannot_lead_to_another_file(tmp_path: Path, playlist: str) -> None:
    secret, path = tmp_path / "secret.ts", tmp_path / "playlist.mp4"
    make_clip(secret, range(25))
    path.write_text(playlist.format(other=secret))
    assert "is not a video that can be read" in refusal(path)


def test_the_width_of_square_pixels_counts(tmp_path: Path) -> None:
    """A frame is scaled to square pixels, so that an aspect ratio of 10 makes ten times as many."""
    path = tmp_path / "wide.mp4"
    make_clip(path, range(3), pixel_aspect=Fraction(10))
    with pytest.raises(SourceError, match="has 1920 x 128 pixels a frame; at most 100000 are allowed"):
        open_source(path, Interval(1.0), max_pixels=100_000)
    assert open_source(path, Interval(1.0), max_pixels=250_000).info.width == 1920
