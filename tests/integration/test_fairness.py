"""Short jobs do not wait for long ones."""

from pathlib import Path

from redis import Redis

from schemas.names import Names
from schemas.topology import groups
from tests.facecore.video.films import loop_film
from tests.integration.client import Service
from tests.waiting import eventually


def test_a_clip_does_not_wait_for_a_film_submitted_before_it(
    service: Service, six_people: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    loop_film(six_people, film, seconds=900)
    long = service.submit({"video_path": str(film), "parameters": {"sampling_interval": 0.5}})
    eventually(lambda: service.get(f"/faces/jobs/{long}/status").json["progress"])
    clip = service.analyze({"video_path": str(six_people), "parameters": {"cache_duration": 0}})
    assert len(clip["faces"]) == 6
    film_then = service.get(f"/faces/jobs/{long}/status").json
    assert film_then["status"] == "processing" and film_then["progress"] < 0.5

    assert service.post(f"/faces/jobs/{long}/cancel", {}).status == 200
    with Redis.from_url(service.redis_url) as redis:
        for stream in groups(Names()):  # what was queued of it is dropped, not worked on
            eventually(lambda stream=stream: redis.xlen(stream) == 0)
        assert not list(redis.scan_iter(f"faces-service:job:{long}:frame:*"))
        assert all(redis.ttl(key) > 0 for key in redis.scan_iter(f"faces-service:job:{long}:*"))
