"""The sampled frame is the one shown at that time, in every format."""

import gc
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facecore.video import Interval, SampledFrame, Scenes, Timestamps, open_source
from facecore.video.decoder import Samples
from tests.facecore.video.clips import edit, make_clip, number_in, shown_at

MILLISECONDS = Fraction(1, 1000)
_random = random.Random(1)
VARIABLE = [0]
while len(VARIABLE) < 90:
    VARIABLE.append(VARIABLE[-1] + _random.choice([20, 33, 40, 41, 100, 250, 500]))
QUIET_X265 = "log-level=none:pools=1"
KEYFRAME_OPEN = "open-gop=1:keyint=12:min-keyint=6"

CLIPS: dict[str, dict[str, Any]] = {
    "h264_b_frames.mp4": {"b_frames": 3},
    "h264_b_pyramid.mp4": {"b_frames": 8, "options": {"x264-params": "b-pyramid=normal:b-adapt=2"}},
    "h264_no_b_frames.mkv": {},
    "h264_one_keyframe.mp4": {"gop": 1000, "b_frames": 3, "options": {"x264-params": "scenecut=0"}},
    "h264_open_gop.mp4": {"gop": 12, "b_frames": 3, "options": {"x264-params": KEYFRAME_OPEN}},
    "h264_open_gop.ts": {"gop": 12, "b_frames": 3, "options": {"x264-params": KEYFRAME_OPEN}},
    "h264_intra_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=25"}},
    "h264_intra_refresh.ts": {"options": {"x264-params": "intra-refresh=1:keyint=25"}},
    "h264_interlaced.mp4": {"b_frames": 2, "options": {"x264-params": "tff=1"}},
    "h264_variable_rate.mp4": {"times": VARIABLE, "time_base": MILLISECONDS, "b_frames": 2},
    "h264_variable_rate.mkv": {"times": VARIABLE, "time_base": MILLISECONDS, "b_frames": 2},
    "h264_starts_late.mp4": {"times": range(1000, 1100), "b_frames": 2},
    "h264_starts_late.mkv": {"times": range(1000, 1100), "b_frames": 2},
    "h264_starts_late.ts": {"times": range(1000, 1100), "b_frames": 2},
    "h264_fragmented.mp4": {
        "b_frames": 2,
        "container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    },
    "h264_b_frames.avi": {"b_frames": 2},
    "h264_b_frames.flv": {"b_frames": 2},
    "h264_elementary.h264": {"b_frames": 2},
    "h264_without_duration.mkv": {"b_frames": 2, "container_options": {"live": "1"}},
    "h264_without_duration.flv": {
        "b_frames": 2,
        "container_options": {"flvflags": "no_duration_filesize+no_metadata"},
    },
    "h264_ten_bits.mp4": {"pix_fmt": "yuv420p10le"},
    "h264_full_range.mp4": {"full_range": True},
    "h264_yuv444.mp4": {"pix_fmt": "yuv444p"},
    "hevc_b_frames.mp4": {"codec": "libx265", "b_frames": 3, "options": {"x265-params": QUIET_X265}},
    "hevc_open_gop_ten_bits.mkv": {
        "codec": "libx265",
        "b_frames": 3,
        "pix_fmt": "yuv420p10le",
        "options": {"x265-params": f"{QUIET_X265}:{KEYFRAME_OPEN}"},
    },
    "vp8_alt_ref.webm": {
        "codec": "libvpx",
        "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
    },
    "vp9_alt_ref.webm": {
        "codec": "libvpx-vp9",
        "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "4", "deadline": "good"},
    },
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1:keyint=20"}},
    "av1_ten_bits.mkv": {
        "codec": "libsvtav1",
        "pix_fmt": "yuv420p10le",
        "options": {"preset": "12", "svtav1-params": "lp=1:keyint=20"},
    },
    "vp9_odd_size.webm": {
        "codec": "libvpx-vp9",
        "size": (193, 129),
        "options": {"cpu-used": "8", "deadline": "realtime"},
    },
    "mpeg1.mpg": {"codec": "mpeg1video", "b_frames": 2, "gop": 12},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2, "gop": 12},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4_b_frames.mp4": {"codec": "mpeg4", "b_frames": 2},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "odd_size.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p", "size": (193, 129)},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    settings = CLIPS[request.param]
    codec = settings.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no encoder {codec}")
    path = tmp_path_factory.mktemp("clips") / request.param
    return path, make_clip(path, **settings)


def samples(path: Path, plan: Any, **options: Any) -> Samples:
    return open_source(path, plan, max_pixels=10**8, **options)


def numbers(frames: list[SampledFrame]) -> list[int]:
    return [number_in(frame.image) for frame in frames]


@pytest.mark.parametrize("seconds", [0.04, 0.3, 2.0])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_sample_is_the_frame_shown_then(clip: tuple[Path, Any], seconds: float, threads: int) -> None:
    path, written = clip
    with_last = samples(path, Interval(seconds), threads=threads)
    sampled = list(with_last)
    assert with_last.warnings == []
    assert [frame.index for frame in sampled] == list(range(len(sampled)))
    assert [frame.timestamp for frame in sampled] == [round(i * seconds, 9) for i in range(len(sampled))]
    assert numbers(sampled) == [shown_at(written, frame.timestamp) for frame in sampled]
    # Up to the end: the last frame lasts 40 ms, or as long as the one before where the file says so.
    last = float(written[-1][0] - written[0][0])
    assert last - seconds < sampled[-1].timestamp <= last + 0.5


def test_resuming_gives_the_same_samples(clip: tuple[Path, Any]) -> None:
    path, _ = clip
    whole = list(samples(path, Interval(0.3)))
    for first in (1, 5, len(whole) - 1, len(whole)):
        rest = list(samples(path, Interval(0.3), start_index=first))
        assert [(f.index, f.timestamp) for f in rest] == [(f.index, f.timestamp) for f in whole[first:]]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(rest, whole[first:], strict=True))


def test_samples_far_apart(clip: tuple[Path, Any]) -> None:
    path, written = clip
    sampled = list(samples(path, Timestamps((3.91, 0.01, 1.0, 3.21, 3.21, 1e6))))
    assert [frame.timestamp for frame in sampled] == [0.01, 1.0, 3.21, 3.91]
    assert numbers(sampled) == [shown_at(written, frame.timestamp) for frame in sampled]


def test_scenes_give_their_first_middle_and_last_frame(clip: tuple[Path, Any]) -> None:
    path, _ = clip
    if "variable" in path.name:
        pytest.skip("what the last frame of a scene is would have to be worked out from the times")
    # The second scene starts on the very frame after which the first one ends; the third outlasts the video.
    sampled = list(samples(path, Scenes(((0.0, 1.0), (1.0, 2.48), (2.48, 99.0), (99.0, 100.0)))))
    assert numbers(sampled) == [0, 12, 24, 25, 43, 61, 62, 81, 99]


def test_an_edit_list_cuts_the_start_off(tmp_path: Path) -> None:
    path = tmp_path / "edited.mp4"
    make_clip(path, range(-10, 90), b_frames=2)  # the muxer writes an edit that begins at 0
    sampled = list(samples(path, Interval(0.4)))
    assert numbers(sampled) == [10 + 10 * i for i in range(9)]


EDITS: dict[str, tuple[list[tuple[float | None, float]], list[int]]] = {
    "starts late": ([(None, 1.0), (0.0, 4.0)], [*range(100)]),
    "starts between keyframes": ([(0.6, 3.4)], [*range(15, 100)]),
    "ends early": ([(0.0, 2.4)], [*range(60)]),
    "a stretch left out": ([(0.0, 1.0), (2.0, 1.0)], [*range(25), *range(50, 75)]),
    "a stretch between keyframes left out": ([(0.2, 0.8), (2.4, 1.2)], [*range(5, 25), *range(60, 90)]),
    "out of order": ([(2.0, 1.0), (0.0, 1.0)], [*range(50, 75), *range(25)]),
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_edit_lists_are_applied(tmp_path: Path, name: str, b_frames: int) -> None:
    edits, shown = EDITS[name]
    path = tmp_path / "edited.mp4"
    make_clip(path, range(100), b_frames=b_frames)
    edit(path, edits)
    for every in (1, 10):
        source = samples(path, Interval(every * 0.04))
        assert numbers(list(source)) == shown[::every]
        assert source.warnings == []


@pytest.mark.parametrize(("rotation", "shape"), [(-90, (192, 128)), (90, (192, 128)), (180, (128, 192))])
def test_rotation_is_applied(tmp_path: Path, rotation: int, shape: tuple[int, int]) -> None:
    path = tmp_path / "turned.mp4"
    coded = {-90: 1, 90: 3, 180: 2}[rotation]  # quarter turns against the clock that undo the display's
    make_clip(
        path, range(30), rotation=rotation, turn=lambda image: np.ascontiguousarray(np.rot90(image, coded)),
        portrait=shape[0] > shape[1],
    )  # fmt: skip
    source = samples(path, Interval(0.4))
    sampled = list(source)
    assert numbers(sampled) == [0, 10, 20]
    assert (source.info.height, source.info.width) == shape == sampled[0].image.shape[:2]
    assert source.info.turning.rotation == -rotation % 360


def test_pixels_become_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    make_clip(path, range(30), pixel_aspect=Fraction(16, 11))
    source = samples(path, Interval(0.4))
    sampled = list(source)
    assert numbers(sampled) == [0, 10, 20]
    assert sampled[0].image.shape == (128, 279, 3)
    assert (source.info.width, source.info.height) == (279, 128)


@pytest.mark.parametrize("full_range", [False, True])
def test_brightness_survives(tmp_path: Path, full_range: bool) -> None:
    path = tmp_path / "grey.mkv"
    make_clip(path, range(2), full_range=full_range, options={"crf": "4"})
    [frame] = samples(path, Interval(2.0))
    dark, bright = frame.image[:96, :].mean(), frame.image[100:, 150:].mean()  # frame 0 has no white bits
    assert abs(dark - 51.5) < 3
    assert abs(bright - 51.5) < 3


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    """It counts objects, not bytes: workers would grow by hundreds of megabytes before it runs."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    gc.collect()
    gc.disable()
    try:
        assert len(list(open_source(clip, Interval(0.5), max_pixels=10**8))) > 4
        assert not [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
    finally:
        gc.enable()
