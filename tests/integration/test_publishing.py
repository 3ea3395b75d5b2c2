"""Jobs that other services publish straight to the stream; events at their ends."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import pytest
from redis import Redis

from schemas.names import EXPRESS_FRAMES
from tests.facecore.video.films import loop_film
from tests.integration.client import Service, letters, stopped, without_times
from tests.vision_api import VisionApi
from tests.waiting import eventually

FRAMES = 280


def appears(service: Service, job_id: str) -> None:
    eventually(lambda: service.get(f"/faces/jobs/{job_id}/status").status == 200)


def test_msgpack_from_python(service: Service, six_people: Path) -> None:
    message = {
        "id": "upstream-7/analyze",
        "job": "upstream-7",
        "type": "analyze",
        "body": {"source": str(six_people), "source_id": "s7", "parameters": {"face_min_confidence": 0.5}},
    }
    with Redis.from_url(service.redis_url) as redis:
        redis.xadd("faces:requests", {"msgpack": msgspec.msgpack.encode(message)})
    appears(service, "upstream-7")
    assert service.wait_for_end("upstream-7")["status"] == "completed"
    result = service.result("upstream-7")
    assert len(result["faces"]) == 6 and result["source_id"] == "s7"


def test_json_from_the_command_line(service: Service, six_people: Path) -> None:
    client = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if client is None:
        pytest.skip("neither redis-cli nor valkey-cli is installed")
    request = msgspec.json.encode({"video_path": str(six_people)}).decode()
    server = urlparse(service.redis_url)
    done = subprocess.run(
        [client, "-p", str(server.port), "XADD", "faces:requests", "*", "json", request],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "REDISCLI_AUTH": server.password or ""},
    )  # fmt: skip
    job_id = done.stdout.strip().strip('"')
    appears(service, job_id)
    assert service.wait_for_end(job_id)["status"] == "completed"
    assert len(service.result(job_id)["faces"]) == 6


def test_a_json_entry_without_job_id_takes_the_entry_s(service: Service, six_people: Path) -> None:
    with Redis.from_url(service.redis_url) as redis:
        entry = redis.xadd("faces:requests", {"json": msgspec.json.encode({"video_path": str(six_people)})})
    assert isinstance(entry, bytes)
    appears(service, entry.decode())
    assert service.wait_for_end(entry.decode())["status"] == "completed"


@pytest.mark.parametrize(
    "request_of_another", ['{"video_path": "/other.mp4"}', '{"parameters": {"max_faces": 0}}']
)
def test_a_request_under_the_id_of_a_job_does_not_change_that_job(
    service: Service, six_people: Path, request_of_another: str
) -> None:
    job_id = service.submit({"video_path": str(six_people), "parameters": {"min_confidence": 0.53}})
    service.wait_for_end(job_id)
    before = service.result(job_id)
    with Redis.from_url(service.redis_url) as redis:
        foreign = f'{{"job": "{job_id}", "type": "analyze", "id": "x", "body": {request_of_another}}}'
        redis.xadd("faces:requests", {"json": foreign})
        (letter,) = eventually(lambda: letters(redis, foreign.encode()))
        ((_, fields),) = redis.xrange("faces-service:dead", letter, letter)
        assert b"belongs to another request" in fields[b"reason"]
    assert service.get(f"/faces/jobs/{job_id}/status").json["status"] == "completed"
    assert service.result(job_id) == before


def test_every_end_is_an_event(service: Service, six_people: Path, tmp_path: Path) -> None:
    good = service.submit({"video_path": str(six_people), "parameters": {"min_confidence": 0.54}})
    bad = service.submit({"video_path": str(tmp_path / "nothing.mp4")})
    service.wait_for_end(good), service.wait_for_end(bad)
    with Redis.from_url(service.redis_url) as redis:
        entries = redis.xrevrange("faces-service:events", count=100)
    assert isinstance(entries, list)
    ends = {fields[b"job_id"].decode(): fields[b"status"].decode() for _, fields in entries}
    assert ends[good] == "completed" and ends[bad] == "failed"


def test_an_urgent_clip_does_not_wait_for_films(service: Service, six_people: Path, tmp_path: Path) -> None:
    """Four films fill every place that a worker has for normal jobs; the urgent clip has a place of its own."""
    films = []
    for number in range(4):
        film = tmp_path / f"film{number}.mp4"
        loop_film(six_people, film, seconds=FRAMES / 2)
        films.append(service.submit({"video_path": str(film), "parameters": {"sampling_interval": 0.5}}))
    eventually(lambda: service.get(f"/faces/jobs/{films[0]}/status").json["progress"] > 0)
    urgent = {"video_path": str(six_people), "priority": "high", "parameters": {"min_confidence": 0.57}}
    assert service.wait_for_end(service.submit(urgent))["status"] == "completed"
    progress = [service.get(f"/faces/jobs/{film}/status").json["progress"] for film in films]
    assert sum(progress) * FRAMES < 4 * EXPRESS_FRAMES, "it stood behind the beginnings of all films"
    for film in films:
        service.post(f"/faces/jobs/{film}/cancel", b"")
    assert (
        service.post("/faces/analyze", {"video_path": "/a.mp4", "priority": "urgent"}).json["field"]
        == "priority"
    )


def test_a_program_that_clears_its_cache_meanwhile_costs_no_job(service: Service, six_people: Path) -> None:
    """vision-api lists the jobs, and deletes all keys that it knows, again and again."""
    vision_api = VisionApi(service.redis_url)
    body = {"video_path": str(six_people), "parameters": {"sampling_interval": 1.0, "cache_duration": 0}}
    with Redis.from_url(service.redis_url) as redis:

        def cleared_until_the_end() -> bool:
            listed = {job["job_id"]: job for job in vision_api.jobs()}
            states = [service.get(f"/faces/jobs/{job_id}/status").json for job_id in jobs]
            seen.update(
                listed[job]["status"] for job in jobs if job in listed and listed[job]["progress"] < 1
            )
            ended = all(state["status"] == "completed" for state in states)
            if not ended:
                vision_api.clear_cache()
            return ended

        seen = set[str]()
        with stopped("consumers analyze", service):
            jobs = [service.submit(body), "published-meanwhile"]
            redis.xadd("faces:requests", {"json": msgspec.json.encode({**body, "job_id": jobs[1]})})
            appears(service, jobs[1])
            assert not cleared_until_the_end()
        eventually(cleared_until_the_end, 240)
        assert seen and seen <= {"queued", "processing"}, "while they ran"
        first, second = (without_times(service.result(job)) for job in jobs)
        assert first == second and len(first["faces"]) == 6
        ends = [fields[b"job_id"].decode() for _, fields in redis.xrevrange("faces-service:events", count=9)]
        assert [ends.count(job) for job in jobs] == [1, 1]
    after = service.submit({"video_path": str(six_people), "parameters": {"sampling_interval": 1.9}})
    assert service.wait_for_end(after)["status"] == "completed"
    assert vision_api.status(after)["status"] == "completed"  # type: ignore[index]
    assert vision_api.results(after) == service.result(after)
    vision_api.close()
