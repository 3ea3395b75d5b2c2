"""A frame that cannot be processed is skipped, dead-lettered, and can be replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from redis import Redis

from tests.integration.client import Service, stopped, without_times
from tests.integration.conftest import run_service
from tests.integration.test_operating import faces
from tests.waiting import eventually

REQUEST = {"parameters": {"sampling_interval": 2.5, "min_confidence": 0.52}}
SPOILT = 2
FAULTY = """
import os, cv2
decode = cv2.imdecode

def imdecode(data, flags):
    if not os.path.exists({mended!r}):
        if data.tobytes().endswith(b"deadly"):
            os.abort()
        if data.tobytes().endswith(b"faulty"):
            raise ArithmeticError("this picture cannot be decoded today")
    return decode(data, flags)

cv2.imdecode = imdecode
"""
"""A picture library with two bugs, one of which takes the whole process down, until they are mended."""


class Faulty(NamedTuple):
    """A service with that library; when the file `mended` exists, the library has no bugs."""

    service: Service
    mended: Path


@pytest.fixture(scope="module")
def started(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    library, data = tmp_path_factory.mktemp("library"), tmp_path_factory.mktemp("data")
    (library / "sitecustomize.py").write_text(FAULTY.format(mended=str(library / "mended")))
    environment = {"PYTHONPATH": str(library), "FACES_LEASE": "1", "FACES_BATCH": "4"}
    for service in run_service(models_path, data, "--scale", "analyze=2", environment=environment):
        yield Faulty(service, library / "mended")


@pytest.fixture
def faulty(started: Faulty) -> Faulty:
    started.mended.unlink(missing_ok=True)
    return started


def test_a_frame_that_kills_its_worker_affects_no_other(faulty: Faulty, six_people: Path) -> None:
    service, mended = faulty
    wanted = {"video_path": str(six_people), "parameters": {"sampling_interval": 2.0, "cache_duration": 0}}
    whole = service.analyze(wanted)
    with Redis.from_url(service.redis_url) as redis:
        wanted["parameters"] |= {"cache_duration": 600}
        job_id = _submitted_with_spoilt_frame(service, redis, wanted, b"deadly")
        assert service.wait_for_end(job_id)["status"] == "completed"
        partial = service.result(job_id)["metadata"]
        assert [frame["frame_index"] for frame in partial["failed_frames"]] == [SPOILT]
        assert partial["frames_processed"] == whole["metadata"]["frames_processed"] - 1
        (letter,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
        assert letter["job"] == job_id and "its worker crashed" in letter["reason"]
        assert service.log.read_text().count("signal SIGABRT") == letter["deliveries"] - 1 == 4

        mended.touch()
        assert "sent again" in faces(service, "dead", "replay", letter["id"]).stdout
        assert service.wait_for_end(job_id)["status"] == "completed"
        assert without_times(service.result(job_id)) == without_times(whole)


def test_a_dead_frame_is_named_and_replayed_into_its_ended_job(faulty: Faulty, six_people: Path) -> None:
    service, mended = faulty
    wanted = {**REQUEST, "video_path": str(six_people)}
    whole = service.analyze({**wanted, "parameters": {**REQUEST["parameters"], "cache_duration": 0}})
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        job_id = _submitted_with_spoilt_frame(service, redis, wanted, b"faulty")
        assert service.wait_for_end(job_id)["status"] == "completed"
        partial = service.result(job_id)
        assert [frame["frame_index"] for frame in partial["metadata"]["failed_frames"]] == [SPOILT]
        assert partial["metadata"]["frames_processed"] == whole["metadata"]["frames_processed"] - 1
        (letter,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
        assert letter["job"] == job_id and letter["error"] == "ArithmeticError" and letter["attempts"] == 4

        mended.touch()
        assert "sent again" in faces(service, "dead", "replay", letter["id"]).stdout
        assert service.wait_for_end(job_id)["status"] == "completed"
        assert without_times(service.result(job_id)) == without_times(whole)
        assert redis.xlen("faces-service:dead") == 0
        for key in redis.scan_iter(f"faces-service:job:{job_id}:*"):
            assert redis.ttl(key) > 0, key
        left = {key.decode().rpartition(":")[2] for key in redis.scan_iter(f"faces-service:job:{job_id}:*")}
        assert left == {"metadata", "result"}


def _submitted_with_spoilt_frame(service: Service, redis: "Redis", wanted: object, spoilt: bytes) -> str:
    """Submits a job one of whose frames is spoilt in the frame store before a worker reads it."""
    with stopped("consumers analyze", service):
        job_id = service.submit(wanted)
        eventually(lambda: redis.hget(f"faces-service:job:{job_id}:metadata", "units"))
        frames = f"faces-service:job:{job_id}:frames"
        (name,) = [name for name in redis.hkeys(frames) if name.split(b":")[-2] == b"%d" % SPOILT]
        redis.hset(frames, name, redis.hget(frames, name) + spoilt)
    return job_id
