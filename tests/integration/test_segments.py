"""A long film sampled in segments: any number of workers and kills give the result of the whole."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from schemas.names import Names
from schemas.topology import groups
from tests.integration.client import Service, pids_of, stopped, without_times
from tests.integration.conftest import run_service
from tests.waiting import eventually

PARTS = 5
IN_PARTS = {"FACES_SEGMENT_SECONDS": "4.5", "FACES_LEASE": "2"}


@pytest.fixture(scope="module")
def one_worker(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One part after the other: at most four frames of a job under way, so that one part waits at a time."""
    environment = {**IN_PARTS, "FACES_JOB_WINDOW": "4"}
    yield from run_service(models_path, tmp_path_factory.mktemp("one"), environment=environment)


@pytest.fixture(scope="module")
def three_workers(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Three processes that sample, each one part at a time."""
    environment = {**IN_PARTS, "FACES_JOBS_PER_WORKER": "1", "FACES_JOB_WINDOW": "12"}
    folder = tmp_path_factory.mktemp("three")
    yield from run_service(models_path, folder, "--scale", "frames=3", environment=environment)


@pytest.fixture(scope="module")
def film(shared_data: Path) -> Path:
    """Twenty seconds of ten people, with a keyframe every 1.6 s."""
    return shared_data / "videos" / "derived_grid_concat.mp4"


def wanted(film: Path, **parameters: Any) -> dict[str, Any]:
    parameters = {"sampling_interval": 0.5, "detect_demographics": False, **parameters}
    return {"video_path": str(film), "parameters": parameters}


def parts_of(service: Service, job_id: str) -> list[int]:
    """Samples of each part of a job that was sampled in parts."""
    with Redis.from_url(service.redis_url) as redis:
        record: Any = redis.hgetall(f"faces-service:job:{job_id}:metadata")
    return [int(record.get(f"part:{part}".encode(), 0)) for part in range(int(record.get(b"parts", 0)))]


@pytest.mark.parametrize("sampling", ["interval", "keyframes"])
def test_sampling_in_segments_equals_sampling_as_a_whole(
    service: Service, one_worker: Service, three_workers: Service, film: Path, sampling: str
) -> None:
    request = wanted(film, sampling=sampling, sampling_interval=1.0)
    whole = without_times(service.analyze(request))
    samples = whole["metadata"]["sampled_frames"]
    assert samples >= 2 * PARTS and len(whole["faces"]) >= 8
    for workers, priority in ((one_worker, "high"), (three_workers, "normal"), (three_workers, "low")):
        job_id = workers.submit(
            request | {"priority": priority, "parameters": request["parameters"] | {"cache_duration": 0}}
        )
        assert workers.wait_for_end(job_id)["status"] == "completed"
        assert without_times(workers.result(job_id)) == whole
        counts = parts_of(workers, job_id)
        assert len(counts) == PARTS and sum(counts) == samples
        _nothing_is_left(workers)


def test_killed_samplers_lose_nothing(service: Service, three_workers: Service, film: Path) -> None:
    request = wanted(film, min_confidence=0.55)
    calm = service.analyze(request)
    with stopped("consumers analyze", three_workers):
        job_id = three_workers.submit(request)
        eventually(partial(_is_sampled, three_workers))
        for pid in pids_of("consumers frames", three_workers):
            os.kill(pid, signal.SIGKILL)
        with Redis.from_url(three_workers.redis_url) as redis:
            record = f"faces-service:job:{job_id}:metadata"
            assert not redis.hexists(record, f"part:{PARTS - 1}"), "in the middle"
    assert three_workers.wait_for_end(job_id)["status"] == "completed"
    assert without_times(three_workers.result(job_id)) == without_times(calm)
    assert len(parts_of(three_workers, job_id)) == PARTS
    _nothing_is_left(three_workers)


def test_a_cancelled_film_leaves_no_segments(one_worker: Service, film: Path) -> None:
    with stopped("consumers analyze", one_worker):
        job_id = one_worker.submit(wanted(film, min_confidence=0.56, sampling_interval=0.5))
        eventually(partial(_is_sampled, one_worker))
        assert one_worker.post(f"/faces/jobs/{job_id}/cancel", {}).status == 200
    assert one_worker.wait_for_end(job_id)["status"] == "cancelled"
    _nothing_is_left(one_worker)


def test_segments_respect_the_window_of_the_job(one_worker: Service, film: Path) -> None:
    job_id = one_worker.submit(wanted(film, min_confidence=0.57))
    most = 0
    with Redis.from_url(one_worker.redis_url) as redis:

        def ended() -> bool:
            nonlocal most
            frames = "faces-service:frames"
            most = max(most, int(redis.xlen(frames)) + int(redis.zcard(f"{frames}:waiting")))  # type: ignore[arg-type]
            return redis.hexists(f"faces-service:job:{job_id}:metadata", "ended") is True

        eventually(ended)
    assert 0 < most < 4 + 4, "a window of four, and the chunk that filled it"


def test_a_film_shorter_than_a_segment_is_sampled_as_a_whole(
    three_workers: Service, shared_data: Path
) -> None:
    short = shared_data / "videos" / "zl_same_person_twice.mp4"
    job_id = three_workers.submit(wanted(short))
    assert three_workers.wait_for_end(job_id)["status"] == "completed"
    assert parts_of(three_workers, job_id) == []


@pytest.mark.parametrize("same", [False, True], ids=["other", "same"])
@pytest.mark.parametrize("name", ["derived_grid_concat.mp4", "makeup_occluded.avi"], ids=["parts", "whole"])
def test_only_another_film_of_the_same_name_fails_the_job(
    one_worker: Service, shared_data: Path, tmp_path: Path, name: str, same: bool
) -> None:
    path, copy = tmp_path / name, tmp_path / "copy"
    film = (shared_data / "videos" / name).read_bytes()
    path.write_bytes(film)
    copy.write_bytes(film if same else film[:-1] + bytes([film[-1] ^ 1]))
    os.utime(copy, (1e9, 1e9))
    with stopped("consumers analyze", one_worker):
        job_id = one_worker.submit(wanted(path))
        eventually(partial(_is_sampled, one_worker))
        copy.replace(path)
    status = one_worker.wait_for_end(job_id)
    assert (status["status"], status.get("error")) == (
        ("completed", None)
        if same
        else ("failed", f"{path} was changed while it was being analysed. Submit the job again.")
    )
    assert bool(parts_of(one_worker, job_id)) == (name != "makeup_occluded.avi")
    _nothing_is_left(one_worker)


def _is_sampled(service: Service) -> bool:
    """Whether frames wait to be analysed."""
    with Redis.from_url(service.redis_url) as redis:
        return any(redis.xlen(stream) for stream in (Names().frames, Names().express))


def _nothing_is_left(service: Service) -> None:
    with Redis.from_url(service.redis_url) as redis:
        for stream in groups(Names()):
            eventually(lambda: redis.xlen(stream) == 0)  # noqa: B023
