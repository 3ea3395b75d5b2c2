"""Invalid sources and requests get a clear error, and the service stays healthy."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from redis import Redis

from tests.integration.client import Service, stopped
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def alive_afterwards(service: Service) -> Iterator[None]:
    yield
    assert service.process.poll() is None
    assert service.get("/faces/health").json["status"] == "healthy"
    assert "died" not in service.log.read_text()


def fails(service: Service, source: Path | str) -> str:
    """The reason why a job for this source failed."""
    status = service.wait_for_end(service.submit({"video_path": str(source)}))
    assert status["status"] == "failed", status
    return str(status["error"])


def test_a_missing_file(service: Service, tmp_path: Path) -> None:
    reason = fails(service, tmp_path / "nothing.mp4")
    assert "nothing.mp4" in reason and "no file" in reason


def test_a_directory(service: Service, tmp_path: Path) -> None:
    assert "directory" in fails(service, tmp_path)


def test_an_empty_file(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "empty" in fails(service, tmp_path / "empty.mp4")


def test_a_text_file_named_as_a_video(service: Service, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 100)
    assert "text.mp4" in fails(service, tmp_path / "text.mp4")


def test_a_video_cut_off_before_its_index(service: Service, tmp_path: Path, six_people: Path) -> None:
    whole = six_people.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    assert "cut.mp4" in fails(service, tmp_path / "cut.mp4")


def test_audio_only(service: Service, tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    samples = (np.sin(np.arange(8000) / 10) * 10_000).astype("<i2").tobytes()
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16,
                         b"data", len(samples))  # fmt: skip
    sound.write_bytes(header + samples)
    with av.open(str(sound)) as container:
        assert not container.streams.video
    assert "is an audio file (WAV), not a video" in fails(service, sound)


def test_a_device(service: Service) -> None:
    assert "/dev/zero" in fails(service, "/dev/zero")


def test_a_pipe_without_a_writer(service: Service, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "pipe.mp4" in fails(service, tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"", 400, None),
        (b"[1, 2]", 400, None),
        (b"\xff\xfe", 400, None),
        ({}, 422, "video_path"),
        ({"video_path": 7}, 422, "video_path"),
        ({"source": ""}, 422, "source"),
        ({"source": "/a.mp4", "video_path": "/b.mp4"}, 422, "source"),
        ({"video_path": "/a.mp4", "job_id": "../../etc"}, 422, "job_id"),
        ({"video_path": "/a.mp4", "parameters": []}, 422, "parameters"),
        *(
            ({"video_path": "/a.mp4", "parameters": parameters}, 422, f"parameters.{field}")
            for parameters, field in [
                ({"min_confidence": 1.5}, "min_confidence"),
                ({"face_min_confidence": -0.1}, "face_min_confidence"),
                ({"face_min_quality": 0.1, "min_quality": 0.2}, "face_min_quality"),
                ({"min_quality": "high"}, "min_quality"),
                ({"max_faces": 0}, "max_faces"),
                ({"max_faces": 2.5}, "max_faces"),
                ({"sampling_interval": 0.04}, "sampling_interval"),
                ({"enable_deduplication": "yes"}, "enable_deduplication"),
                ({"embedding_similarity_threshold": 2}, "embedding_similarity_threshold"),
                ({"scene_boundaries": [{"start_timestamp": 0}]}, "scene_boundaries[0]"),
                ({"cache_duration": -1}, "cache_duration"),
                ({"enhancement": {"model": "waifu2x"}}, "enhancement.model"),
                ({"enhancement": {"fidelity_weight": 2}}, "enhancement.fidelity_weight"),
                ({"enhancement": {"enabled": "perhaps"}}, "enhancement.enabled"),
            ]
        ),
    ],
)
def test_a_request_that_cannot_be_accepted(
    service: Service, body: Any, status: int, field: str | None
) -> None:
    answer = service.post("/faces/analyze", body)
    assert answer.status == status, answer
    problem = answer.json
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert problem["status"] == status and problem["detail"]
    assert problem.get("field") == field


def test_a_body_of_fifty_megabytes(service: Service) -> None:
    answer = service.post("/faces/analyze", b'{"video_path": "' + b"x" * 50_000_000 + b'"}')
    assert answer.status == 413 and answer.json["status"] == 413


def test_unknown_jobs_and_paths(service: Service) -> None:
    for path in (
        "/faces/jobs/nobody/status",
        "/faces/jobs/nobody/results",
        "/faces/jobs/%7Bx%7D/status",
        "/nowhere",
    ):
        answer = service.get(path)
        assert answer.status == 404 and answer.json["status"] == 404, path


def test_the_wrong_method(service: Service) -> None:
    answer = service.get("/faces/analyze")
    assert answer.status == 405 and answer.headers["Allow"] == "POST" and answer.json["status"] == 405


def test_results_before_the_job_has_ended(service: Service, six_people: Path) -> None:
    with stopped("consumers finalize", service):
        job_id = service.submit({"video_path": str(six_people), "parameters": {"min_confidence": 0.6}})
        answer = service.get(f"/faces/jobs/{job_id}/results")
    assert answer.status == 409 and job_id in answer.json["detail"]
    assert service.wait_for_end(job_id)["status"] == "completed"


def test_results_of_a_failed_job_give_the_reason(service: Service, tmp_path: Path) -> None:
    job_id = service.submit({"video_path": str(tmp_path / "gone.mp4")})
    service.wait_for_end(job_id)
    answer = service.get(f"/faces/jobs/{job_id}/results")
    assert answer.status == 409 and "gone.mp4" in answer.json["detail"]


def test_a_job_id_belongs_to_one_request(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "job_id": "mine"}
    first = service.post("/faces/analyze", wanted)
    again = service.post("/faces/analyze", wanted)
    other = service.post("/faces/analyze", {**wanted, "parameters": {"max_faces": 3}})
    assert (first.status, again.status, other.status) == (202, 202, 409)
    assert again.json == first.json and other.json["field"] == "job_id"
    service.wait_for_end("mine")


@pytest.mark.parametrize(
    "fields",
    [
        {b"msgpack": b"\xc1\xff\x00"},
        {b"json": b'{"video_path": '},
        {b"unknown": b"field"},
        {b"json": b'"a string"'},
        {b"json": b'{"video_path": "/a.mp4", "job_id": "../x"}'},
        {
            b"json": b'{"id": "x", "job": "x", "type": "analyze", "version": 99, "body": {"video_path": "/a.mp4"}}'
        },
    ],
)
def test_a_malformed_entry_is_dead_lettered(service: Service, fields: dict[bytes, bytes]) -> None:
    with Redis.from_url(service.redis_url) as redis:
        before = {entry for entry, _ in redis.xrange("faces-service:dead")}  # type: ignore[union-attr]
        redis.xadd("faces:requests", fields)  # type: ignore[arg-type]
        ((_, value),) = fields.items()
        body = value if b"unknown" not in fields else b""

        def given_up() -> set[bytes]:
            entries: Any = redis.xrange("faces-service:dead")
            return {entry for entry, letter in entries if letter[b"body"] == body} - before

        assert len(eventually(given_up)) == 1
        eventually(lambda: redis.xlen("faces:requests") == 0)


def test_a_published_request_with_a_bad_parameter_fails_its_job(service: Service) -> None:
    with Redis.from_url(service.redis_url) as redis:
        entry = redis.xadd(
            "faces:requests", {"json": '{"video_path": "/a.mp4", "parameters": {"max_faces": 0}}'}
        )
    assert isinstance(entry, bytes)
    job_id = entry.decode()
    eventually(lambda: service.get(f"/faces/jobs/{job_id}/status").status == 200)
    status = service.wait_for_end(job_id)
    assert status["status"] == "failed" and "parameters.max_faces" in status["error"]
