"""The film's clock goes on over resets, jumps and wrong timestamps, and counts from where a player counts."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecore.video import Interval, Samples, Scenes, open_source
from facecore.video.timeline import JUMP, OUTLIER, RESET, WRAP_TICKS, Limits, continuous
from tests.facecore.video.clips import make_clip, number_in

LIMITS = Limits(back=12, ahead=250, longest=90_000)


def clock(timestamps: list[int], limits: Limits = LIMITS) -> tuple[list[int], list[str]]:
    faults: list[str] = []
    frames = [(timestamp, 1, None) for timestamp in timestamps]
    return [t for t, _ in continuous(frames, limits, lambda fault, _: faults.append(fault))], faults


@given(
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(14, 60)), min_size=1, max_size=6),
)
def test_joined_stretches_of_any_start_give_one_even_clock(stretches: list[tuple[int, int]]) -> None:
    timestamps = [start + n for start, length in stretches for n in range(length)]
    times, _ = clock(timestamps)
    steps = set(np.diff(times).tolist())
    assert len(times) == len(timestamps)
    assert times[0] == timestamps[0]
    assert all(-LIMITS.back <= step <= LIMITS.ahead for step in steps)


@given(st.integers(2, 97), st.one_of(st.integers(-(10**9), -500), st.integers(20, 10**9)))
def test_an_outlier_does_not_move_the_clock(place: int, by: int) -> None:
    timestamps = list(range(100))
    timestamps[place] += by
    assert clock(timestamps) == (list(range(100)), [OUTLIER])


def test_a_gap_is_no_outlier() -> None:
    timestamps = [*range(50), *range(250, 300), 500, 700]
    assert clock(timestamps) == (timestamps, [])


def test_discontinuities_are_named() -> None:
    assert clock([*range(50), *range(30)]) == (list(range(80)), [RESET])
    assert clock([*range(50), *range(9000, 9030)]) == (list(range(80)), [JUMP])


def test_a_wrap_of_the_timestamps_is_no_discontinuity() -> None:
    timestamps = [(WRAP_TICKS - 50 + n) % WRAP_TICKS for n in range(100)]
    times, faults = clock(timestamps, LIMITS._replace(wrap=WRAP_TICKS))
    assert (np.diff(times).tolist(), faults) == ([1] * 99, [])


def test_the_frames_of_a_slide_show_keep_their_time() -> None:
    frames = [(n * 1000, 1000, n) for n in range(5)]
    faults: list[str] = []
    found = list(continuous(frames, LIMITS, lambda fault, _: faults.append(fault)))
    assert (found, faults) == ([(n * 1000, n) for n in range(5)], [])


def sampled(path: Path) -> tuple[Samples, list[tuple[float, int]]]:
    source = open_source(path, Interval(1.0), max_pixels=10**8)
    return source, [(frame.timestamp, number_in(frame.image)) for frame in source]


@pytest.mark.parametrize(
    ("suffix", "b_frames"),
    [("ts", 0), ("ts", 2), ("mpg", 0), ("mpg", 2), ("mkv", 0), ("mkv", 2), ("webm", 0)],
)
def test_joined_files_are_one_film(tmp_path: Path, suffix: str, b_frames: int) -> None:
    codec = {"mpg": "mpeg2video", "webm": "libvpx-vp9"}.get(suffix, "libx264")
    parts = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for part in parts:
        make_clip(part, codec=codec, b_frames=b_frames)
    film = tmp_path / f"film.{suffix}"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    source, samples = sampled(film)
    assert [t for t, _ in samples] == list(range(8))
    assert source.expected == 8
    assert all(abs(number - 25 * (index % 4)) <= 2 for index, (_, number) in enumerate(samples))
    assert any("timestamps go back" in warning for warning in source.warnings)
    assert source.info.frames == 200


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_a_jump_gives_no_samples_of_a_held_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    fragments = {"movflags": "frag_keyframe+empty_moov"} if suffix == "mp4" else None
    make_clip(path, [*range(100), *range(900_000, 900_100)], gop=25, container_options=fragments)
    source, samples = sampled(path)
    assert [number for _, number in samples] == [25 * n for n in range(8)]
    assert source.expected == 8
    assert any("jump ahead" in warning for warning in source.warnings)


def test_a_film_without_discontinuities_is_sampled_without_warnings(tmp_path: Path) -> None:
    path = tmp_path / "film.ts"
    make_clip(path)
    source, samples = sampled(path)
    assert (samples, source.warnings) == ([(n, 25 * n) for n in range(4)], [])
    assert source.strategy == "selective"


def late_picture(path: Path, seconds: int) -> None:
    """Joins a clip and silence that begins ``seconds`` earlier."""
    clip = path.with_name(f"clip{path.suffix}")
    make_clip(clip)
    with av.open(str(clip)) as source, av.open(str(path), "w") as film:
        picture = film.add_stream_from_template(source.streams.video[0])
        sound = film.add_stream("aac", rate=8000)
        packets: list[av.Packet] = []
        for n in range(8 * (seconds + 4)):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1000), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts, silence.time_base = 8000, n * 1000, Fraction(1, 8000)
            packets += sound.encode(silence)
        packets += sound.encode(None)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round(seconds / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, picture
            packets.append(packet)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            film.mux(packet)


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_a_picture_that_begins_after_the_sound_has_the_times_of_a_player(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    late_picture(path, 5)
    _, samples = sampled(path)
    assert [t for t, _ in samples] == pytest.approx([5, 6, 7, 8], abs=0.15)
    scenes = open_source(path, Scenes(((0.0, 2.0), (6.0, 8.0))), max_pixels=10**8)
    shown = [(frame.timestamp, number_in(frame.image)) for frame in scenes]
    assert [t for t, _ in shown] == pytest.approx([6, 7, 8], abs=0.03)
    assert all(abs(number - 25 * (t - 5)) <= 4 for t, number in shown)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_slides_have_the_times_of_a_player(tmp_path: Path, suffix: str, b_frames: int) -> None:
    path = tmp_path / f"film.{suffix}"
    moments = [0, 20, 40, 85, 105]
    make_clip(path, [25 * moment for moment in moments], b_frames=b_frames)
    source = open_source(path, Interval(10.0), max_pixels=10**8)
    samples = [(frame.timestamp, number_in(frame.image)) for frame in source]
    expected = [(t, max(n for n, at in enumerate(moments) if at <= t)) for t in range(0, 110, 10)]
    assert samples[: len(expected)] == expected
    assert source.expected == len(samples) <= len(expected) + 2, "the last one is shown for up to 20 s"
    assert source.warnings == []
