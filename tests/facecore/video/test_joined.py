"""Files of several films one after another are one film, whatever codecs and sizes the films have."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecore.video import Interval, Samples, SourceError, open_source
from tests.facecore.video.clips import make_clip, number_in


def sampled(path: Path) -> tuple[Samples, list[tuple[float, int]]]:
    source = open_source(path, Interval(1.0), max_pixels=10**8)
    return source, [(frame.timestamp, number_in(frame.image)) for frame in source]


def join(film: Path, *parts: Path) -> Path:
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    return film


def silence(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for n in range(32):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, n * 1000, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("suffix", "codec", "other"),
    [
        ("mkv", "libx264", "mpeg4"),
        ("mkv", "libx264", "libx264"),
        ("webm", "libvpx-vp9", "libvpx"),
        ("ts", "libx264", "mpeg2video"),
        ("ts", "libx264", "libx264"),
        ("mpg", "mpeg2video", "mpeg1video"),
        ("vob", "mpeg2video", "mpeg2video"),
        ("flv", "libx264", "flv1"),
        ("mp4", "libx264", "mpeg4"),
        ("avi", "mpeg4", "mjpeg"),
        ("wmv", "wmv2", "wmv1"),
    ],
)
def test_joined_films_of_different_kinds_are_one_film(
    tmp_path: Path, suffix: str, codec: str, other: str
) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    full = "yuvj420p" if other == "mjpeg" else "yuv420p"
    make_clip(first, range(50), codec=codec)
    make_clip(second, range(50), codec=other, size=(320, 240), pix_fmt=full)
    source, samples = sampled(join(tmp_path / f"film.{suffix}", first, second, first))
    assert [t for t, _ in samples] == list(range(6))
    assert [number for _, number in samples] == pytest.approx([0, 25] * 3, abs=2)
    assert (source.expected, source.info.frames) == (6, 150)
    assert any("timestamps go back" in warning for warning in source.warnings)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("filling", [0, 8000])
def test_a_transport_stream_goes_on_in_another_stream_of_pictures(
    tmp_path: Path, codec: str, filling: int
) -> None:
    """Without a discontinuity of the timestamps, as where broadcasts are spliced; in short and in long files."""
    parts = [tmp_path / name for name in ("first.ts", "filling.ts", "second.ts")]
    make_clip(parts[0], range(50), container_options={"muxdelay": "0"})
    parts[1].write_bytes((b"\x47\x1f\xff\x10" + bytes(184)) * filling)
    options = {"muxdelay": "0", "mpegts_start_pid": "512"}
    make_clip(parts[2], range(50, 100), codec=codec, container_options=options)
    source, samples = sampled(join(tmp_path / "film.ts", *parts))
    assert [t for t, _ in samples] == list(range(4))
    assert [number for _, number in samples] == pytest.approx([0, 25] * 2, abs=2)
    assert source.info.frames == 100


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4", "flv"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_part_without_a_picture_costs_only_itself(tmp_path: Path, suffix: str, place: int) -> None:
    clip, sound = tmp_path / f"clip.{suffix}", tmp_path / f"sound.{suffix}"
    make_clip(clip, range(50))
    silence(sound)
    parts = [clip, clip]
    parts.insert(place, sound)
    source, samples = sampled(join(tmp_path / f"film.{suffix}", *parts))
    assert [t for t, _ in samples] == list(range(4))
    assert [number for _, number in samples] == pytest.approx([0, 25] * 2, abs=2)
    assert any("left out" in warning and "only audio" in warning for warning in source.warnings)
    with pytest.raises(SourceError, match="only audio"):
        open_source(join(tmp_path / f"sounds.{suffix}", sound, sound), Interval(1.0), max_pixels=10**8)


@pytest.mark.parametrize(
    "name", ["film.flv", "fragmented.mp4", "absolute.mp4", "film.mp4", "index_first.mp4"]
)
def test_joined_files_that_ffmpeg_reads_only_in_part_are_one_film(tmp_path: Path, name: str) -> None:
    flags = {
        "fragmented.mp4": "frag_keyframe+empty_moov+default_base_moof",
        "absolute.mp4": "frag_keyframe+empty_moov",
        "index_first.mp4": "faststart",
    }.get(name)
    parts = [tmp_path / f"{number}{name}" for number in range(3)]
    for part in parts:
        make_clip(part, b_frames=2, container_options={"movflags": flags} if flags else None)
    film = join(tmp_path / name, *parts)
    source, samples = sampled(film)
    assert [t for t, _ in samples] == list(range(12))
    assert [number for _, number in samples] == pytest.approx([0, 25, 50, 75] * 3, abs=2)
    assert (source.expected, source.info.frames) == (12, 300)
    assert any("timestamps go back" in warning for warning in source.warnings)
    resumed = open_source(film, Interval(1.0), start_index=5, max_pixels=10**8)
    assert [(s.index, s.timestamp, number_in(s.image)) for s in resumed] == [
        (index, *sample) for index, sample in enumerate(samples)
    ][5:]
