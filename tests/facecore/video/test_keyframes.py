"""Segments give the samples of the whole film; samples move to near keyframes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecore.video import Interval, Plan, Scenes, Timestamps, open_source, probe
from facecore.video.keyframes import Segment, at_keyframes, keyframe_times, segments
from tests.facecore.video.clips import make_clip, number_in

FILMS: dict[str, dict[str, Any]] = {
    "film.mp4": {"b_frames": 3},
    "film.mkv": {"b_frames": 3},
    "film.ts": {"b_frames": 3},
    "open_gop.mp4": {"b_frames": 3, "options": {"x264-params": "open-gop=1:keyint=25:min-keyint=25"}},
    "hevc.mp4": {
        "codec": "libx265",
        "b_frames": 3,
        "options": {"x265-params": "log-level=none:pools=1:keyint=25"},
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
}


@pytest.fixture(scope="module", params=FILMS)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds, a keyframe every second."""
    path = tmp_path_factory.mktemp("films") / request.param
    make_clip(path, range(300), **FILMS[request.param])
    return path


def samples(path: Path, plan: Plan, first: int = 0, end: int | None = None) -> list[tuple[int, float, int]]:
    found = open_source(path, plan, start_index=first, end_index=end, max_pixels=10**8)
    return [(sample.index, sample.timestamp, number_in(sample.image)) for sample in found]


PLANS = [
    Interval(0.3), Interval(2.0), Interval(5.0), Scenes(((0.0, 4.0), (4.0, 4.5), (9.0, 12.0))),
    Timestamps((0.1, 0.2, 7.9, 11.9)),
]  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("length", [2.5, 4.0, 100.0])
def test_segments_give_the_samples_of_the_whole_film(film: Path, plan: Plan, length: float) -> None:
    info, keyframes = probe(film, max_pixels=10**8), keyframe_times(film, max_pixels=10**8)
    parts = segments(plan, info, keyframes, length=length)
    assert parts[0].first == 0
    assert parts[-1].end is None
    assert [part.end for part in parts[:-1]] == [part.first for part in parts[1:]]
    if length == 2.5 and plan == Interval(0.3):
        assert len(parts) == 5
    whole = samples(film, plan)
    assert [sample for part in parts for sample in samples(film, plan, part.first, part.end)] == whole
    for part in parts:
        found = open_source(film, plan, start_index=part.first, end_index=part.end, max_pixels=10**8)
        assert all(sample.image.size for sample in found)
        assert found.strategy == "selective"


def test_a_film_with_one_keyframe_is_one_segment(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_clip(path, range(300), gop=1000, options={"x264-params": "scenecut=0"})
    info, keyframes = probe(path, max_pixels=10**8), keyframe_times(path, max_pixels=10**8)
    assert keyframes == [0.0]
    assert segments(Interval(1.0), info, keyframes, length=2.0) == [Segment(0, None)]


def test_a_file_without_packet_times_is_one_segment(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    make_clip(path, range(300), codec="mpeg4")
    assert keyframe_times(path, max_pixels=10**8) == []
    assert segments(Interval(1.0), probe(path, max_pixels=10**8), [], length=2.0) == [Segment(0, None)]


def test_keyframes_are_found_without_decoding(film: Path) -> None:
    keyframes = keyframe_times(film, max_pixels=10**8)
    assert 3 <= len(keyframes) <= 20
    exact = samples(film, Timestamps(tuple(keyframes)))
    assert [number for _, _, number in exact] == [round(t * 25) for t in keyframes]


@pytest.mark.parametrize("name", ["film.ts", "film.mkv", "fragmented.mp4"])
def test_packets_that_were_read_are_not_read_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    flags = {"movflags": "frag_keyframe+empty_moov"} if name == "fragmented.mp4" else None
    make_clip(path, range(100), b_frames=2, container_options=flags)
    info = probe(path, max_pixels=10**8)
    assert list(info.keyframes or ()) == keyframe_times(path, max_pixels=10**8) != []
    plan = Interval(0.5)
    known = open_source(path, plan, start_index=3, info=info, max_pixels=10**8)
    assert [(s.index, s.timestamp, number_in(s.image)) for s in known] == samples(path, plan, 3)


def test_samples_move_to_keyframes_that_are_near(film: Path) -> None:
    info, keyframes = probe(film, max_pixels=10**8), keyframe_times(film, max_pixels=10**8)
    plan = at_keyframes(Interval(1.7), info, keyframes)
    assert len(plan.seconds) == 8
    for index, t in enumerate(plan.seconds):
        assert abs(t - 1.7 * index) <= 0.85
        assert t in keyframes or not [k for k in keyframes if abs(k - 1.7 * index) < 0.85]
    assert [number for _, _, number in samples(film, plan)] == [int(t * 25 + 1e-6) for t in plan.seconds]


def test_times_without_a_keyframe_are_sampled_exactly(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make_clip(path, range(100), gop=1000, options={"x264-params": "scenecut=0"})
    plan = at_keyframes(Interval(1.0), probe(path, max_pixels=10**8), keyframe_times(path, max_pixels=10**8))
    assert plan == Timestamps((0.0, 1.0, 2.0, 3.0))
    images = [sample.image for sample in open_source(path, plan, max_pixels=10**8)]
    exact = [sample.image for sample in open_source(path, Interval(1.0), max_pixels=10**8)]
    assert all(np.array_equal(a, b) for a, b in zip(images, exact, strict=True))
