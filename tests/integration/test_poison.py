"""A frame that cannot be worked on costs its job that frame, and can be replayed when its trouble is over."""

import os
import signal
from pathlib import Path

import msgspec
from redis import Redis

from tests.chaos.disturb import pids_of
from tests.integration.client import Service, eventually, without_times
from tests.integration.test_operating import faces

REQUEST = {"parameters": {"sampling_interval": 2.5, "min_confidence": 0.52}}
POISON = "2"


def test_a_dead_frame_is_named_and_replayed_into_its_ended_job(service: Service, six_people: Path) -> None:
    wanted = {**REQUEST, "video_path": str(six_people)}
    whole = service.analyze({**wanted, "parameters": {**REQUEST["parameters"], "cache_duration": 0}})
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces:dead")
        job_id = _submitted_with_poison(service, redis, wanted)
        assert service.ended(job_id)["status"] == "completed"
        partial = service.result(job_id)
        assert [frame["frame_index"] for frame in partial["metadata"]["failed_frames"]] == [int(POISON)]
        assert partial["metadata"]["frames_processed"] == whole["metadata"]["frames_processed"] - 1
        (letter,) = msgspec.json.decode(faces(service, "dead", "list", "--json").stdout)
        assert letter["job"] == job_id and letter["error"] == "ResponseError" and letter["attempts"] == 4

        redis.rename("set aside", f"faces:job:{job_id}:frame:{POISON}")
        assert "sent again" in faces(service, "dead", "replay", letter["id"]).stdout
        assert service.ended(job_id)["status"] == "completed"
        assert without_times(service.result(job_id)) == without_times(whole)
        assert redis.xlen("faces:dead") == 0
        for key in redis.scan_iter(f"faces:job:{job_id}:*"):
            assert redis.ttl(key) > 0, key
        left = {key.decode().rpartition(":")[2] for key in redis.scan_iter(f"faces:job:{job_id}:*")}
        assert left == {"metadata", "result"}


def _submitted_with_poison(service: Service, redis: "Redis", wanted: object) -> str:
    """A job one of whose frames lies in a key of the wrong type, which fails every batch that asks for it."""
    workers = pids_of("consumers analyze", service)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        job_id = service.submit(wanted)
        frame = f"faces:job:{job_id}:frame:{POISON}"
        eventually(lambda: redis.hget(f"faces:job:{job_id}:metadata", "units"), 20)
        redis.rename(frame, "set aside")
        redis.rpush(frame, "poison")
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    return job_id
