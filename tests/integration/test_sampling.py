"""Sampling on the grid of the interval and at keyframes."""

from pathlib import Path
from typing import Any

from facecore.video.keyframes import keyframe_times
from tests.integration.client import Service

INTERVAL = 1.0


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
