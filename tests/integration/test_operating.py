"""Commands for operators against a running service."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from redis import Redis

from tests.integration.client import Service, idle
from tests.waiting import eventually


def faces(service: Service, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "compose.cli", *arguments],
        env={**os.environ, "REDIS_URL": service.redis_url, "FACES_MEDIA_ROOTS": "/", "COLUMNS": "200"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_jobs_are_listed_shown_and_deleted(service: Service, six_people: Path) -> None:
    job_id = service.submit({"video_path": str(six_people), "job_id": "operated"})
    service.wait_for_end(job_id)
    listed = msgspec.json.decode(faces(service, "jobs", "list", "--json").stdout)
    assert {job["job_id"]: job["status"] for job in listed}[job_id] == "completed"
    shown = faces(service, "jobs", "show", job_id).stdout
    assert "face_5" in shown and str(six_people) in shown and len(shown.splitlines()) < 20, "no embeddings"
    (line,) = [line for line in faces(service, "jobs", "list").stdout.splitlines() if job_id in line]
    assert line.split()[:1] == [job_id] and line.split()[3:5] == ["completed", "6"]
    assert faces(service, "jobs", "cancel", job_id).returncode == 1, "it has ended"
    again = faces(service, "jobs", "again", job_id).stdout.strip()
    assert again != job_id and service.wait_for_end(again)["status"] == "completed"
    (shown,) = msgspec.json.decode(faces(service, "jobs", "show", job_id, "--json").stdout)
    assert shown["state"]["status"] == "completed" and len(shown["result"]["faces"]) == 6
    deleted = msgspec.json.decode(faces(service, "jobs", "delete", job_id, "--json").stdout)
    assert deleted == [{"job_id": job_id, "done": True}]
    missing = faces(service, "jobs", "show", job_id)
    assert missing.returncode == 1 and job_id in missing.stderr and "Traceback" not in missing.stderr


def test_dead_letters_are_listed_shown_replayed_and_dropped(service: Service) -> None:
    idle(service)
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        redis.xadd("faces:requests", {"json": '{"no": '})
        eventually(lambda: redis.xlen("faces-service:dead") == 1)
    (letter,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
    assert letter["stage"] == "admission" and "cannot be decoded" in letter["reason"]
    assert letter["id"] in faces(service, "dead", "list").stdout
    assert "headers" in faces(service, "dead", "show", letter["id"]).stdout
    doctor = faces(service, "doctor")
    assert doctor.returncode == 0, "a message that a publisher sent in vain is no fault of the service"
    assert "note dead letters: 1 message was given up" in doctor.stdout and "faces dead list" in doctor.stdout
    assert "sent again" in faces(service, "dead", "replay", letter["id"]).stdout
    with Redis.from_url(service.redis_url) as redis:
        eventually(lambda: redis.xlen("faces-service:dead") == 1)
    (again,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
    assert again["replays"] == 1
    dropped = msgspec.json.decode(faces(service, "dead", "drop", "--all", "--json").stdout)
    assert dropped == {again["id"]: "dropped"}
    assert faces(service, "dead", "show", again["id"]).returncode == 1


def test_the_doctor_finds_nothing_wrong(service: Service) -> None:
    idle(service)
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
    doctor = faces(service, "doctor", "--json")
    findings = msgspec.json.decode(doctor.stdout)
    assert doctor.returncode == 0, findings
    details = {finding["about"]: finding["details"] for finding in findings}
    assert len(findings) == len(details) == 8, "one verdict for each concern"
    assert details["models in use"] == "open on CPUExecutionProvider" and details["media roots"] == "/"
    assert details["workers"] == "1 frames, 1 analyze, 1 enhance, 1 finalize, 1 webhooks"
    assert details["dead letters"] == "none" and details["queues"].startswith("0 messages")


def test_commands_find_the_service_by_its_data_directory(service: Service) -> None:
    data = str(service.log.parent / "server")
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}

    def asked(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "compose.cli", *arguments]
        return subprocess.run(
            command,
            env={**environment, "FACES_DATA": data},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    status = msgspec.json.decode(asked("status", "--json").stdout)
    assert status["status"] == "healthy" and status["url"] == f"{service.url}/faces/"
    assert (service.log.parent / "server" / "faces.log").stat().st_mode & 0o077 == 0
    assert asked("doctor").returncode == 0, "the roots and the models are those of the service"
    assert asked("jobs", "list", "--json").returncode == 0
    again = asked("up", "--port", "0")
    assert again.returncode == 1 and f"runs already: {service.url}/faces/" in again.stderr
    nowhere = asked("keys", "list", "--data", "/nowhere")
    assert nowhere.returncode == 1 and "no service runs with the data directory /nowhere" in nowhere.stderr


def test_the_doctor_says_when_the_server_is_away(service: Service) -> None:
    away = Service(service.url, "redis://127.0.0.1:1/0", service.process, service.log)
    doctor = faces(away, "doctor")
    assert doctor.returncode == 1 and "cannot reach the server" in doctor.stdout
    assert "Traceback" not in doctor.stderr
