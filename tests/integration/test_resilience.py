"""Killed and additional processes do not change results."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from schemas.names import Names
from tests.integration.client import Service, pids_of, without_times
from tests.integration.conftest import run_service
from tests.waiting import eventually


@pytest.fixture(scope="module")
def three_analyzers(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {"FACES_BATCH": "2", "FACES_LEASE": "2"}
    data = tmp_path_factory.mktemp("data")
    yield from run_service(models_path, data, "--scale", "analyze=3", environment=environment)


def test_three_workers_and_shuffled_messages_change_nothing(
    service: Service, three_analyzers: Service, six_people: Path
) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"sampling_interval": 1.0}}
    one = service.analyze(wanted)
    job_id = three_analyzers.submit(wanted)
    with Redis.from_url(three_analyzers.redis_url) as redis:
        _shuffle(redis, "faces-service:frames:express", "analyze")
    assert three_analyzers.wait_for_end(job_id)["status"] == "completed"
    assert without_times(three_analyzers.result(job_id)) == without_times(one)


def test_killed_workers_lose_nothing(service: Service, three_analyzers: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"sampling_interval": 1.0, "min_confidence": 0.51}}
    calm = service.analyze(wanted)
    job_id = three_analyzers.submit(wanted)
    eventually(lambda: three_analyzers.get(f"/faces/jobs/{job_id}/status").json["progress"] > 0)
    for stage in ("frames", "analyze", "finalize"):
        for pid in pids_of(f"consumers {stage}", three_analyzers):
            os.kill(pid, signal.SIGKILL)
    assert three_analyzers.wait_for_end(job_id)["status"] == "completed"
    assert without_times(three_analyzers.result(job_id)) == without_times(calm)
    eventually(lambda: "exited (signal SIGKILL); restarting" in three_analyzers.log.read_text())
    with Redis.from_url(three_analyzers.redis_url) as redis:
        names = Names()
        for stream in (names.requests, names.frames, names.express, names.urgent, names.finalize):
            eventually(lambda: redis.xlen(stream) == 0)  # noqa: B023


def test_jobs_survive_a_restart_of_everything(models_path: Path, tmp_path: Path, six_people: Path) -> None:
    first = run_service(models_path, tmp_path)
    service = next(first)
    done = service.submit({"video_path": str(six_people)})
    service.wait_for_end(done)
    running = service.submit({"video_path": str(six_people), "parameters": {"sampling_interval": 1.0}})
    first.close()
    assert "did not stop within" not in service.log.read_text(), "a killed worker holds its leases"
    second = run_service(models_path, tmp_path)
    service = next(second)
    assert len(service.result(done)["faces"]) == 6
    assert service.wait_for_end(running)["status"] == "completed"
    second.close()


def test_killing_the_launcher_ends_all_processes(models_path: Path, tmp_path: Path) -> None:
    running = run_service(models_path, tmp_path)
    service = next(running)
    assert pids_of("-m", service)
    service.process.kill()
    eventually(lambda: not pids_of("", service))
    service.process.wait(60)
    running.close()


def _shuffle(redis: "Redis", stream: str, group: str) -> None:
    """Puts what nobody has read yet back in another order."""
    entries = redis.xrange(stream)
    pending = {entry["message_id"] for entry in redis.xpending_range(stream, group, "-", "+", 1000)}  # type: ignore[union-attr]
    waiting = [(entry, fields) for entry, fields in entries if entry not in pending]  # type: ignore[union-attr]
    random.Random(1).shuffle(waiting)
    for entry, fields in waiting:
        if redis.xdel(stream, entry):
            redis.xadd(stream, fields)
