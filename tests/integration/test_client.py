"""The client distribution: built, installed alone, its examples run against the service."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from compose.server import free_port
from schemas.webhooks import WebhookTask, delivery_body, signed_headers
from tests.integration.client import Service
from tests.waiting import eventually

CLIENT = Path(__file__).parents[2] / "schemas" / "client"
EXAMPLES = CLIENT / "examples"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel's content, as pip unpacks it."""
    folder = tmp_path_factory.mktemp("client")
    described = importlib.util.spec_from_file_location("backend", CLIENT / "backend.py")
    assert described and described.loader
    backend: Any = importlib.util.module_from_spec(described)
    described.loader.exec_module(backend)
    with zipfile.ZipFile(folder / backend.build_wheel(str(folder))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed)}


def run(installed: Path, folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        env=environment(installed),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_package_contains_no_service_code(installed: Path, tmp_path: Path) -> None:
    code = "import sys, faces_client; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run(installed, tmp_path, sys.executable, "-P", "-c", code).split())
    assert "faces_client" in loaded
    assert not loaded & {"schemas", "api", "consumers", "numpy", "cv2", "structlog", "prometheus_client"}


def test_the_example_finds_the_people(
    service: Service, six_people: Path, installed: Path, tmp_path: Path
) -> None:
    output = run(
        installed, tmp_path, sys.executable, str(EXAMPLES / "people.py"), str(six_people), service.url
    )
    assert [line.split(":")[0] for line in output.splitlines()] == [f"face_{number}" for number in range(6)]


def test_a_client_in_another_language(
    service: Service, six_people: Path, installed: Path, tmp_path: Path
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    output = run(installed, tmp_path, node, str(EXAMPLES / "people.mjs"), str(six_people), service.url)
    assert [line.split()[0] for line in output.splitlines()] == [f"face_{number}" for number in range(6)]


def test_the_example_publishes(service: Service, six_people: Path, installed: Path, tmp_path: Path) -> None:
    videos = [str(six_people), "/no/such/film.mp4"]
    output = run(installed, tmp_path, sys.executable, str(EXAMPLES / "many.py"), service.redis_url, *videos)
    ends = [service.wait_for_end(job_id)["status"] for job_id in output.split()]
    assert ends == ["completed", "failed"]


def test_the_receiver_example_accepts_only_valid_signatures(installed: Path, tmp_path: Path) -> None:
    port, secret = free_port(), "whsec_" + "c2VjcmV0" * 4
    receiver = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "receiver.py"), str(port), secret],
        env=environment(installed), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    body = delivery_body(
        "film-1", WebhookTask(to="", status="failed", ended=1795520628.0, error="gone"), None
    )

    def post(key: bytes) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/", body, signed_headers(body, "msg_1", time.time(), [key])
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(up)
        assert post(b"another key of some length") == 401
        assert post(b"secret" * 4) == 204
        assert receiver.stdout is not None and receiver.stdout.readline() == "film-1 failed\n"
    finally:
        receiver.terminate()
        receiver.wait(60)
