"""The REST interface with real models."""

import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from redis import Redis

from facecore.video import probe
from schemas.names import Names
from schemas.topology import groups
from tests.integration.client import Service, stopped, without_times
from tests.integration.neighbours import as_vision_api


def test_six_people_are_found(service: Service, six_people: Path) -> None:
    job_id = service.submit(as_vision_api(six_people, "six"))
    assert job_id == "faces-six"
    status = service.wait_for_end(job_id)
    assert status["status"] == "completed" and status["progress"] == 1, status
    assert status["result_summary"]["unique_faces"] == 6
    result = service.result(job_id)
    assert result["job_id"] == job_id and result["source_id"] == "12345" and result["status"] == "completed"
    assert len(result["faces"]) == 6
    for number, face in enumerate(result["faces"]):
        assert face["face_id"] == f"face_{number}"
        assert len(face["embedding"]) == 512
        assert math.isclose(math.hypot(*face["embedding"]), 1.0, abs_tol=1e-4)
        assert face["representative_detection"] in face["detections"]
        assert 0 < face["demographics"]["age"] < 100
        for detection in face["detections"]:
            _is_whole(detection)
    metadata = result["metadata"]
    assert metadata["video_path"] == str(six_people)
    assert metadata["frames_processed"] == metadata["sampled_frames"] > 3
    info = probe(six_people, max_pixels=10**8)
    assert metadata["total_frames"] == info.frames > metadata["sampled_frames"]
    assert (metadata["width"], metadata["height"], metadata["codec"]) == (info.width, info.height, info.codec)
    assert (metadata["duration"], metadata["fps"]) == (info.duration, info.fps)
    assert metadata["total_detections"] == sum(len(face["detections"]) for face in result["faces"])
    assert metadata["model"] == "open" and metadata["providers"] == ["CPUExecutionProvider"]


def _is_whole(detection: dict[str, Any]) -> None:
    box, landmarks = detection["bbox"], detection["landmarks"]
    assert box["x_min"] < box["x_max"] and box["y_min"] < box["y_max"]
    assert box["x_min"] - 5 <= landmarks["nose"][0] <= box["x_max"] + 5
    assert landmarks["left_eye"][0] < landmarks["right_eye"][0]
    assert landmarks["nose"][1] < landmarks["mouth_left"][1]
    quality = detection["quality"]
    parts = quality["components"]
    expected = (
        0.35 * parts["size"] + 0.20 * parts["pose"] + 0.20 * parts["occlusion"] + 0.25 * parts["sharpness"]
    )
    assert math.isclose(quality["composite"], expected, abs_tol=1e-3)
    assert detection["pose"] in ("front", "left", "right", "front-rotate-left", "front-rotate-right")
    assert detection["enhanced"] is False
    assert 0.5 <= detection["confidence"] <= 1
    assert detection["occlusion"]["occluded"] is (detection["occlusion"]["probability"] > 0.5)


def test_both_spellings_of_parameters_are_accepted(service: Service, six_people: Path) -> None:
    one = service.analyze(as_vision_api(six_people, "spelling"))
    other = service.analyze(
        {"video_path": str(six_people), "parameters": {"min_confidence": 0.5, "min_quality": 0.0}}
    )
    assert other["source_id"] is None and other["job_id"] != one["job_id"]
    assert without_times(other) == without_times(one)


def test_the_same_request_again_is_answered_from_the_cache(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "source_id": "a", "parameters": {"min_confidence": 0.51}}
    first = service.analyze(wanted)
    second_id = service.submit({**wanted, "source_id": "b"})
    status = service.wait_for_end(second_id)
    second = service.result(second_id)
    assert status["cached"] is True
    assert second["job_id"] == second_id and second["source_id"] == "b"
    assert second["faces"] == first["faces"] and second["metadata"] == first["metadata"]


def test_a_touched_file_is_analysed_again(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"min_confidence": 0.52}}
    first = service.submit(wanted)
    assert service.wait_for_end(first)["status"] == "completed"
    os.utime(six_people, (1_000_000_000, 1_000_000_000))
    second = service.submit(wanted)
    status = service.wait_for_end(second)
    assert status["status"] == "completed" and "cached" not in status


def test_equal_jobs_in_flight_are_analysed_once(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"min_confidence": 0.53, "sampling_interval": 1.0}}
    jobs = [service.submit(wanted) for _ in range(3)]
    ends = [service.wait_for_end(job) for job in jobs]
    assert [end["status"] for end in ends] == ["completed"] * 3
    assert sum("cached" in end for end in ends) == 2
    results = [service.result(job) for job in jobs]
    assert results[0]["metadata"] == results[1]["metadata"] == results[2]["metadata"]


def test_scenes_are_sampled_at_start_middle_and_end(service: Service, six_people: Path) -> None:
    scenes = [{"start_timestamp": 0.0, "end_timestamp": 2.0}, {"start_timestamp": 4.0, "end_timestamp": 6.0}]
    result = service.analyze({"video_path": str(six_people), "parameters": {"scene_boundaries": scenes}})
    assert result["metadata"]["sampled_frames"] == 6
    times = {d["timestamp"] for face in result["faces"] for d in face["detections"]}
    assert {0.0, 1.0, 4.0, 5.0} <= times and len(times) <= 6


def test_deduplication_can_be_turned_off(service: Service, six_people: Path) -> None:
    parameters = {"enable_deduplication": False, "max_faces": 1000, "detect_demographics": False}
    result = service.analyze({"video_path": str(six_people), "parameters": parameters})
    assert all(len(face["detections"]) == 1 for face in result["faces"])
    assert len(result["faces"]) == result["metadata"]["total_detections"] > 6
    assert all(face["demographics"] is None for face in result["faces"])


def test_max_faces_keeps_the_most_present(service: Service, six_people: Path) -> None:
    everyone = service.analyze({"video_path": str(six_people)})
    result = service.analyze({"video_path": str(six_people), "parameters": {"max_faces": 2}})
    assert [f["embedding"] for f in result["faces"]] == [f["embedding"] for f in everyone["faces"][:2]]
    assert result["metadata"]["rejected"]["max_faces"] > 0


def test_enhancement_without_a_frame_server_is_reported(service: Service, six_people: Path) -> None:
    parameters = {"enhancement": {"enabled": True, "quality_trigger": 1.0}}
    result = service.analyze({"video_path": str(six_people), "parameters": parameters})
    report = result["metadata"]["enhancement"]
    assert len(result["faces"]) == 6
    assert report["enhanced_faces"] == 0 and report["requested_frames"] == report["kept_frames"] > 0
    assert list(report["reasons"]) == ["No Frame Server is configured (FRAME_SERVER_URL)."]


def test_every_person_has_a_thumbnail(service: Service, six_people: Path) -> None:
    job_id = service.submit({"video_path": str(six_people)})
    service.wait_for_end(job_id)
    for number in range(6):
        answer = service.get(f"/faces/jobs/{job_id}/faces/face_{number}/thumbnail")
        assert answer.status == 200 and answer.headers["Content-Type"] == "image/jpeg"
        image = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and 32 <= image.shape[0] <= 256
    assert service.get(f"/faces/jobs/{job_id}/faces/face_6/thumbnail").status == 404


def test_a_job_can_be_cancelled_listed_and_deleted(service: Service, six_people: Path) -> None:
    parameters = {"sampling_interval": 0.5, "min_confidence": 0.55}
    with stopped("consumers finalize", service):
        job_id = service.submit({"video_path": str(six_people), "parameters": parameters})
        assert service.delete(f"/faces/jobs/{job_id}").status == 409
        assert service.post(f"/faces/jobs/{job_id}/cancel", b"").json["status"] == "cancelled"
    assert service.post(f"/faces/jobs/{job_id}/cancel", b"").status == 409
    assert service.get(f"/faces/jobs/{job_id}/results").status == 409
    assert job_id in [job["job_id"] for job in service.get("/faces/jobs?status=cancelled").json["jobs"]]
    assert service.delete(f"/faces/jobs/{job_id}").status == 204
    assert service.get(f"/faces/jobs/{job_id}/status").status == 404
    assert service.get("/faces/jobs?limit=many").json["field"] == "limit"


def test_results_support_conditional_requests(service: Service, six_people: Path) -> None:
    job_id = service.submit({"video_path": str(six_people)})
    service.wait_for_end(job_id)
    answer = service.get(f"/faces/jobs/{job_id}/results")
    again = service.get(f"/faces/jobs/{job_id}/results", {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_health_names_models_and_workers(service: Service) -> None:
    health = service.get("/faces/health").json
    assert health["status"] == "healthy" and health["missing"] == []
    assert (health["service"], health["model"], health["gpu_available"]) == ("faces-service", "open", False)
    assert health["workers"] == {"frames": 1, "analyze": 1, "enhance": 1, "finalize": 1, "webhooks": 1}
    assert health["cache_size_mb"] > 0 and health["active_jobs"] >= 0


def test_metrics_are_labelled_by_stream(service: Service) -> None:
    text = service.get("/metrics").body.decode()
    for stage, stream in (("frames", "requests"), ("analyze", "frames"), ("finalize", "finalize")):
        assert f'faces_stream_entries{{stage="{stage}",stream="{stream}"}}' in text
    assert "faces_http_requests_total" in text


def test_all_keys_of_an_ended_job_expire(service: Service, six_people: Path) -> None:
    with Redis.from_url(service.redis_url) as redis:
        before = set(redis.scan_iter())  # of other jobs, which may be kept, and of libraries
        job_id = service.submit({"video_path": str(six_people), "parameters": {"min_confidence": 0.56}})
        assert service.wait_for_end(job_id)["status"] == "completed"
        kept = {key.decode() for key in redis.scan_iter(f"faces-service:job:{job_id}:*")}
        assert kept == {f"faces-service:job:{job_id}:metadata", f"faces-service:job:{job_id}:result"}
        names = Names()
        lasting = {names.dead, names.events, names.shared_events, names.active, names.jobs, names.keys}
        for key in set(redis.scan_iter()) - before:
            assert key.decode() in lasting | groups(names).keys() or redis.ttl(key) > 0, key
