"""The whole service on a cluster of three nodes, its jobs spread over partitions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from redis.cluster import RedisCluster

from compose.server import free_port
from schemas.names import Partitions
from schemas.topology import groups
from tests.consumers.runtime.servers import running
from tests.integration.client import Service, without_times
from tests.waiting import eventually

PARTITIONS = 3


@pytest.fixture(scope="module")
def clustered(
    request: pytest.FixtureRequest,
    models_path: Path,
    six_people: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    assert request.config.cache is not None
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    server = running("cluster", folder, Path(request.config.cache.mkdir("servers")))
    environment = {
        **os.environ,
        "REDIS_URL": server.url,
        "FACES_PARTITIONS": str(PARTITIONS),
        "FACES_PORT": str(port),
        "FACES_MEDIA_ROOTS": str(six_people.parent),
        "INSIGHTFACE_MODELS_CACHE": str(models_path),
    }
    log = folder / "faces.log"
    with log.open("wb") as output:
        processes = [
            subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=output, stderr=output)
            for command in (["api"], ["consumers", "frames", "analyze", "enhance", "finalize", "webhooks"])
        ]
    service = Service(f"http://127.0.0.1:{port}", server.url, processes[1], log)
    try:
        eventually(lambda: b'"ready"' in log.read_bytes() and _healthy(service))
        yield service
    finally:
        for process in processes:
            process.terminate()
        statuses = [process.wait(60) for process in processes]
        server.stop()
    assert statuses == [0, 0], log.read_text()[-4000:]


def _healthy(service: Service) -> bool:
    try:
        return bool(service.get("/faces/health").json["status"] == "healthy")
    except OSError:
        return False


@pytest.fixture
def cluster(clustered: Service) -> Iterator[RedisCluster]:
    with RedisCluster.from_url(clustered.redis_url.replace("redis+cluster", "redis")) as client:
        yield client


def test_jobs_of_all_partitions_end_alike(clustered: Service, six_people: Path) -> None:
    partitions = Partitions("faces", PARTITIONS)
    ids = {partitions.of(job_id).prefix: job_id for job_id in (f"job-{n}" for n in range(30))}
    assert len(ids) == PARTITIONS
    for job_id in ids.values():
        clustered.submit(
            {"job_id": job_id, "video_path": str(six_people), "parameters": {"cache_duration": 0}}
        )
    results = []
    for job_id in ids.values():
        assert clustered.wait_for_end(job_id)["status"] == "completed"
        results.append(without_times(clustered.result(job_id)))
    assert len(results[0]["faces"]) == 6
    assert results[1:] == results[:-1]
    listed = [job["job_id"] for job in clustered.get("/faces/jobs").json["jobs"]]
    assert set(ids.values()) <= set(listed)
    assert clustered.delete(f"/faces/jobs/{listed[0]}").status == 204


def test_the_same_film_is_answered_once(clustered: Service, six_people: Path) -> None:
    """Job ids that the service gives lie where the film's other jobs do."""
    request = {"video_path": str(six_people), "parameters": {"min_confidence": 0.61}}
    first, second = clustered.submit(request), clustered.submit(request)
    assert clustered.wait_for_end(first)["status"] == clustered.wait_for_end(second)["status"] == "completed"
    cached = [
        clustered.get(f"/faces/jobs/{job_id}/status").json.get("cached", False) for job_id in (first, second)
    ]
    assert sorted(cached) == [False, True]


def test_publishing_to_one_stream_serves_all_partitions(
    clustered: Service, cluster: RedisCluster, six_people: Path
) -> None:
    for partition in Partitions("faces", PARTITIONS).all:
        job_id = f"published-{partition.prefix[-2]}"
        message = {"job": job_id, "id": "1", "type": "analyze", "body": {"video_path": str(six_people)}}
        cluster.xadd(Partitions("faces", PARTITIONS).home.requests, {"json": msgspec.json.encode(message)})
        eventually(lambda job_id=job_id: clustered.get(f"/faces/jobs/{job_id}/status").status == 200)
        assert clustered.wait_for_end(job_id)["status"] == "completed"


def test_collections_serve_the_jobs_of_all_partitions(
    clustered: Service, cluster: RedisCluster, six_people: Path, group_photograph: Path
) -> None:
    """A collection lies in the home partition, whichever its faces come from and go to."""
    partitions = Partitions("faces", PARTITIONS)
    ids = {partitions.of(job_id).prefix: job_id for job_id in (f"known-{n}" for n in range(30))}
    assert len(ids) == PARTITIONS
    for number, job_id in enumerate(ids.values()):
        parameters = {"cache_duration": 0} | ({"match_collections": ["six"]} if number else {})
        clustered.submit({"job_id": job_id, "video_path": str(six_people), "parameters": parameters})
        assert clustered.wait_for_end(job_id)["status"] == "completed"
        if not number:
            body = {"job_id": job_id, "face_id": "face_0", "label": "the first"}
            assert clustered.post("/faces/collections/six/faces", body).status == 201
        else:
            matches = [[m["label"] for m in f["matches"]] for f in clustered.result(job_id)["faces"]]
            assert matches[0] == ["the first"] and not any(matches[1:])
    headers = {"Content-Type": "image/jpeg"}
    found = clustered.post(
        "/faces/collections/six/search?threshold=-1", group_photograph.read_bytes(), headers
    )
    assert found.status == 200 and len(found.json["matches"]) == 1 and found.json["face"]["faces"] == 6
    assert clustered.delete("/faces/collections/six").status == 204
    for job_id in list(ids.values())[1:]:
        assert not any(face["matches"] for face in clustered.result(job_id)["faces"])
    assert not list(cluster.scan_iter("*:collection:*"))


def test_no_entry_is_left_behind(clustered: Service, cluster: RedisCluster) -> None:
    for partition in Partitions("faces", PARTITIONS).all:
        for stream in groups(partition):
            eventually(lambda stream=stream: cluster.xlen(stream) == 0)
        assert cluster.zcard(partition.active) == 0
        assert cluster.xlen(partition.dead) == 0


def test_metrics_add_up_over_the_partitions(clustered: Service) -> None:
    lines = clustered.get("/metrics").body.decode().splitlines()
    assert 'faces_stream_entries{stage="analyze",stream="frames"} 0.0' in lines
    assert 'faces_workers{stage="analyze"} 1.0' in lines


def test_the_operators_commands_see_all_partitions(clustered: Service) -> None:
    environment = {
        **os.environ, "REDIS_URL": clustered.redis_url, "FACES_PARTITIONS": str(PARTITIONS),
        "FACES_MEDIA_ROOTS": "/",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "compose.cli", "doctor", "--json"],
        env=environment, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    about = {finding["about"]: finding for finding in msgspec.json.decode(done.stdout)}
    assert about["queues"]["well"] and about["workers"]["well"], about
