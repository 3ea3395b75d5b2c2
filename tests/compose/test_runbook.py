"""What the runbook says is done as it says: an upgrade while jobs run, a backup and what it is for."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from schemas.topology import PROCESSES
from tests.compose.stack import Stack
from tests.integration.client import Service, without_times
from tests.waiting import eventually

RUNBOOK = Path(__file__).parents[2] / "compose" / "RUNBOOK.md"
AT_WORK = ("frames", "analyze", "finalize")
"""Nobody asks for enhancement here."""
pytestmark = pytest.mark.timeout(600)  # processes start and end a dozen times
OTHER = os.environ.get("FACES_OTHER_VERSION")
"""A checkout of another version to upgrade to, instead of one that differs in its messages alone."""


@pytest.fixture
def stack(models_path: Path, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, models_path)
    stack.server.start()
    yield stack
    stack.close()


def chapter(title: str) -> str:
    return re.split(r"^## ", RUNBOOK.read_text().split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def commands(title: str) -> list[str]:
    return re.findall(r"```sh\n(.+?)```", chapter(title), re.DOTALL)


def order_of_upgrade() -> list[str]:
    """The stages in the order in which the runbook replaces them."""
    return [name for name in re.findall(r"`(\w+)`", chapter("Upgrade")) if name in PROCESSES]


def request(video: Path, job_id: str, interval: float = 2.0) -> dict[str, Any]:
    parameters = {"sampling_interval": interval, "cache_duration": 0, "min_confidence": 0.5}
    return {"video_path": str(video), "job_id": job_id, "parameters": parameters}


def start_workers(stack: Stack) -> None:
    for stage in AT_WORK:
        stack.start(f"{stage}-old", "consumers", stage)
    for stage in AT_WORK:
        stack.until_works(f"{stage}-old")


def replace(stack: Stack, stage: str, old: str, new: str) -> None:
    """Both run side by side for a moment, then the old one ends in order."""
    checkout = Path(OTHER) if OTHER and new == "new" else None
    program = "tests.compose.next_version" if new == "new" and not OTHER else "consumers"
    stack.start(f"{stage}-{new}", program, stage, checkout=checkout)
    stack.until_works(f"{stage}-{new}")
    assert stack.stop(f"{stage}-{old}") == 0


def test_an_upgrade_while_jobs_run(stack: Stack, six_people: Path) -> None:
    """Messages of each version reach workers of the other: in the end, one stage goes back."""
    stages = [stage for stage in order_of_upgrade() if stage in AT_WORK]
    assert stages == ["finalize", "analyze", "frames"]
    service = stack.start_api()
    start_workers(stack)
    calm = without_times(service.analyze(request(six_people, "calm")))
    jobs = []
    for stage, old, new in (*((stage, "old", "new") for stage in stages), ("analyze", "new", "old")):
        jobs.append(service.submit(request(six_people, f"{stage}-{new}", 1.0)))
        replace(stack, stage, old, new)
    assert all(service.wait_for_end(job)["status"] == "completed" for job in jobs)
    first, *others = (without_times(service.result(job))["faces"] for job in jobs)
    assert all(faces == first for faces in others)
    assert without_times(service.analyze(request(six_people, "after"))) == calm
    with Redis.from_url(stack.url) as redis:
        assert redis.xlen("faces-service:dead") == 0


def shell(script: str, stack: Stack, backup: Path) -> None:
    environment = {**os.environ, "REDIS_URL": stack.url, "DATA": str(stack.data), "BACKUP": str(backup)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    shutil.which("redis-cli") is None, reason="redis-cli is not installed (Debian: redis-tools)"
)
def test_jobs_come_back_from_a_backup(stack: Stack, six_people: Path, tmp_path: Path) -> None:
    """One job has ended when the copy is made, one is half done; afterwards everything is lost."""
    back_up, restore = commands("Backup and restore")
    service = stack.start_api()
    start_workers(stack)
    ended = service.analyze(request(six_people, "ended") | {"parameters": {"cache_duration": 3600}})
    expected = without_times(service.analyze(request(six_people, "expected", 1.0)))
    assert stack.stop("analyze-old") == 0
    service.submit(request(six_people, "half-done", 1.0))
    with Redis.from_url(stack.url) as redis:
        waiting = ("faces-service:frames", "faces-service:frames:express")
        eventually(lambda: sum(redis.xlen(s) + redis.zcard(f"{s}:waiting") for s in waiting) > 10)
    shell(back_up, stack, tmp_path / "backup")
    _lose_everything(stack, service)
    shell(restore, stack, tmp_path / "backup")
    stack.server.start()
    service = stack.start_api()
    start_workers(stack)
    assert service.result("ended") == ended
    assert service.wait_for_end("half-done")["status"] == "completed"
    assert without_times(service.result("half-done"))["faces"] == expected["faces"]


def _lose_everything(stack: Stack, service: Service) -> None:
    """What is done after the copy is gone too."""
    service.submit({"video_path": "/late.mp4", "job_id": "late"})
    for name in list(stack.running):
        stack.running.pop(name).kill()
    stack.server.kill()
    shutil.rmtree(stack.data)
    stack.data.mkdir()
