"""Sampling on the grid of the interval and at keyframes."""

from fractions import Fraction
from math import pi, sin
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from facecore.video.keyframes import keyframe_times
from tests.integration.client import Service

INTERVAL = 1.0
FIELDS = 150
"""At 50 fields a second."""


def moments(result: Any) -> dict[int, float]:
    """Number and moment of every frame with a face."""
    return {d["frame_index"]: d["timestamp"] for face in result["faces"] for d in face["detections"]}


def test_samples_at_keyframes_lie_within_half_an_interval_of_the_grid(
    service: Service, shared_data: Path
) -> None:
    film = shared_data / "videos" / "goldeneye_vfr.mp4"
    parameters = {"sampling_interval": INTERVAL, "detect_demographics": False}
    exact = service.analyze({"video_path": str(film), "parameters": parameters})
    moved = service.analyze({"video_path": str(film), "parameters": {**parameters, "sampling": "keyframes"}})
    assert moved["metadata"]["sampled_frames"] == exact["metadata"]["sampled_frames"] == 10
    assert moments(moved) and moments(moved) != moments(exact), "another request than the exact one"
    for index, moment in moments(moved).items():
        assert abs(moment - index * INTERVAL) <= INTERVAL / 2
    keyframes = keyframe_times(film, max_pixels=10**8)
    near = [k for k in keyframes if round(k) in moments(moved)]
    assert near and set(near) <= set(moments(moved).values())


def test_adaptive_sampling_takes_about_twenty_frames_of_a_short_film(
    service: Service, six_people: Path
) -> None:
    parameters = {"sampling": "adaptive", "detect_demographics": False}
    result = service.analyze({"video_path": str(six_people), "parameters": parameters})
    assert (result["metadata"]["sampled_frames"], len(result["faces"])) == (20, 6)
    assert set(moments(result).values()) <= {round(0.6 * number, 6) for number in range(20)}


def test_an_unknown_sampling_is_refused_with_the_choices(service: Service) -> None:
    answer = service.post("/faces/analyze", {"video_path": "/film.mp4", "parameters": {"sampling": "random"}})
    assert answer.status == 422
    assert answer.json["field"] == "parameters.sampling"
    assert "adaptive or interval or keyframes" in answer.json["detail"]


def make_interlaced_film(path: Path, *, top_first: bool, flag: str) -> None:
    """A portrait that moves from side to side by up to 29 pixels from field to field."""
    from skimage.data import astronaut

    portrait = cv2.resize(astronaut()[:, :, ::-1], (200, 200))  # type: ignore[no-untyped-call]
    moments = np.full((FIELDS, 480, 960, 3), 110, np.uint8)
    for field, picture in enumerate(moments):
        left = round(380 + 380 * sin(2 * pi * field / 83))
        picture[40:240, left : left + 200] = portrait
    with av.open(str(path), "w") as container:
        options = {"crf": "18"} | ({"x264-params": flag} if flag else {})
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 960, 480, "yuv420p"
        for number, (first, second) in enumerate(zip(moments[::2], moments[1::2], strict=True)):
            top, bottom = (first, second) if top_first else (second, first)
            woven = top.copy()
            woven[1::2] = bottom[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_person_who_moves_fast_in_an_interlaced_film_is_one_person(
    service: Service, tmp_path: Path
) -> None:
    pytest.importorskip("skimage")
    parameters = {"sampling_interval": 0.24, "detect_demographics": False}
    for top_first, flag in ((True, "tff=1"), (False, "")):
        film = tmp_path / f"{top_first}{flag}.mp4"
        make_interlaced_film(film, top_first=top_first, flag=flag)
        result = service.analyze({"video_path": str(film), "parameters": parameters})
        assert [len(face["detections"]) >= 8 for face in result["faces"]] == [True], (top_first, flag)
