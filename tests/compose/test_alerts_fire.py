"""Alerts fire when what they are about happens: a real Prometheus scrapes a running stack."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from compose.server import free_port
from tests.compose.test_monitoring import ALERTS
from tests.integration.client import Service, pids_of
from tests.integration.conftest import run_service
from tests.waiting import eventually

PROGRAM = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="prometheus is not installed (Debian: prometheus)")


@pytest.fixture
def lonely(models_path: Path, tmp_path: Path) -> Iterator[Service]:
    """A service whose worker that analyses has stopped, and has not been heard of for long enough."""
    running = run_service(models_path, tmp_path)
    service = next(running)
    (worker,) = pids_of("consumers analyze", service)
    os.kill(worker, signal.SIGSTOP)
    with Redis.from_url(service.redis_url) as redis:
        for consumer in redis.hkeys("faces-service:workers"):
            if b"analyze" in consumer:
                redis.hdel("faces-service:workers", consumer)
    yield service
    os.kill(worker, signal.SIGCONT)
    running.close()


@pytest.fixture
def firing(lonely: Service, tmp_path: Path) -> Iterator[Callable[[], set[str]]]:
    """The alerts that fire now, with the project's rules, evaluated every second and with little patience."""
    port = free_port()
    rules = re.sub(r"for: \d+m", "for: 1s", ALERTS.read_text())
    rules = rules.replace("> 600", "> 2").replace("[15m]", "[10s]")  # how old, and growing for how long
    (tmp_path / "alerts.yml").write_text(rules)
    target = lonely.url.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [alerts.yml]\n"
        f"scrape_configs: [{{ job_name: api, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
    )
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip

    def alerts() -> set[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=5) as answer:
                active = msgspec.json.decode(answer.read())["data"]["alerts"]
        except OSError:
            return set()  # it is starting
        return {alert["labels"]["alertname"] for alert in active if alert["state"] == "firing"}

    yield alerts
    process.terminate()
    process.wait(60)


def test_a_stage_without_workers_a_growing_lag_a_dead_letter_and_a_full_server(
    lonely: Service, firing: Callable[[], set[str]], six_people: Path
) -> None:
    waiting, intervals = [0], itertools.count(5)
    with Redis.from_url(lonely.redis_url) as redis:

        def growing_and_firing() -> bool:
            """Whenever no more frames come, another job does."""
            streams = [f"faces-service:frames{lane}" for lane in ("", ":express", ":urgent")]
            waiting.append(sum(redis.xlen(s) + redis.zcard(f"{s}:waiting") for s in streams))
            if waiting[-1] == waiting[-2]:
                interval = next(intervals) / 10
                lonely.submit({"video_path": str(six_people), "parameters": {"sampling_interval": interval}})
                eventually(lambda: not redis.xlen("faces-service:accepted"))
            return {"FacesStageWithoutWorkers", "FacesLagGrowing"} <= firing()

        eventually(growing_and_firing)
        redis.xadd("faces:requests", {"json": "not a request"})
        eventually(lambda: redis.xlen("faces-service:dead") and not redis.xlen("faces:requests"))

        def nearly_full_and_firing() -> bool:
            """The limit follows what is used, which connections that come and go change."""
            used = int(redis.info("memory")["used_memory"])  # type: ignore[index]
            redis.config_set("maxmemory", int(used * 1.1))
            return {"FacesStageWithoutWorkers", "FacesDeadLetters", "FacesServerMemory"} <= firing()

        eventually(nearly_full_and_firing)
    with Redis.from_url(lonely.redis_url) as redis:
        redis.config_set("maxmemory", 0)
        redis.delete("faces-service:dead")
    eventually(lambda: firing() == {"FacesStageWithoutWorkers"})
