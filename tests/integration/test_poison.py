"""A frame that cannot be processed is skipped, dead-lettered, and can be replayed."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from tests.integration.client import Service, pids_of, without_times
from tests.integration.conftest import run_service
from tests.integration.test_operating import faces
from tests.waiting import eventually

REQUEST = {"parameters": {"sampling_interval": 2.5, "min_confidence": 0.52}}
POISON = "2"
FAULTY = """
import os, cv2
decode = cv2.imdecode

def imdecode(data, flags):
    if data.tobytes().endswith(b"poison") and not os.path.exists({mended!r}):
        os.abort()
    return decode(data, flags)

cv2.imdecode = imdecode
"""
"""A picture library with a bug that takes the whole process down, until it is mended."""


@pytest.fixture
def faulty(models_path: Path, tmp_path: Path) -> Iterator[Service]:
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(FAULTY.format(mended=str(tmp_path / "mended")))
    environment = {"PYTHONPATH": str(library), "FACES_LEASE": "1", "FACES_BATCH": "4"}
    yield from run_service(models_path, tmp_path, "--scale", "analyze=2", environment=environment)


def test_a_frame_that_kills_its_worker_affects_no_other(
    faulty: Service, six_people: Path, tmp_path: Path
) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"sampling_interval": 2.0, "cache_duration": 0}}
    whole = faulty.analyze(wanted)
    with Redis.from_url(faulty.redis_url) as redis:
        wanted["parameters"] |= {"cache_duration": 600}
        job_id = _submitted_with_poison(faulty, redis, wanted, lambda frame: redis.append(frame, b"poison"))
        assert faulty.wait_for_end(job_id)["status"] == "completed"
        partial = faulty.result(job_id)["metadata"]
        assert [frame["frame_index"] for frame in partial["failed_frames"]] == [int(POISON)]
        assert partial["frames_processed"] == whole["metadata"]["frames_processed"] - 1
        (letter,) = msgspec.json.decode(faces(faulty, "dead", "list", "--json").stdout)
        assert letter["job"] == job_id and "its worker crashed" in letter["reason"]
        assert faulty.log.read_text().count("signal SIGABRT") == letter["deliveries"] - 1 == 4

        (tmp_path / "mended").touch()
        assert "sent again" in faces(faulty, "dead", "replay", letter["id"]).stdout
        assert faulty.wait_for_end(job_id)["status"] == "completed"
        assert without_times(faulty.result(job_id)) == without_times(whole)


def test_a_dead_frame_is_named_and_replayed_into_its_ended_job(service: Service, six_people: Path) -> None:
    wanted = {**REQUEST, "video_path": str(six_people)}
    whole = service.analyze({**wanted, "parameters": {**REQUEST["parameters"], "cache_duration": 0}})
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces:dead")
        job_id = _submitted_with_poison(service, redis, wanted, lambda frame: _of_another_type(redis, frame))
        assert service.wait_for_end(job_id)["status"] == "completed"
        partial = service.result(job_id)
        assert [frame["frame_index"] for frame in partial["metadata"]["failed_frames"]] == [int(POISON)]
        assert partial["metadata"]["frames_processed"] == whole["metadata"]["frames_processed"] - 1
        (letter,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
        assert letter["job"] == job_id and letter["error"] == "ResponseError" and letter["attempts"] == 4

        redis.rename("set aside", f"faces:job:{job_id}:frame:{POISON}")
        assert "sent again" in faces(service, "dead", "replay", letter["id"]).stdout
        assert service.wait_for_end(job_id)["status"] == "completed"
        assert without_times(service.result(job_id)) == without_times(whole)
        assert redis.xlen("faces:dead") == 0
        for key in redis.scan_iter(f"faces:job:{job_id}:*"):
            assert redis.ttl(key) > 0, key
        left = {key.decode().rpartition(":")[2] for key in redis.scan_iter(f"faces:job:{job_id}:*")}
        assert left == {"metadata", "result"}


def _submitted_with_poison(
    service: Service, redis: "Redis", wanted: object, spoil: Callable[[str], object]
) -> str:
    """A job one of whose frames was spoilt in the frame store before anybody saw it."""
    workers = pids_of("consumers analyze", service)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        job_id = service.submit(wanted)
        eventually(lambda: redis.hget(f"faces:job:{job_id}:metadata", "units"))
        spoil(f"faces:job:{job_id}:frame:{POISON}")
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    return job_id


def _of_another_type(redis: "Redis", frame: str) -> None:
    """Fails every batch that asks for it."""
    redis.rename(frame, "set aside")
    redis.rpush(frame, "poison")
