"""Runs the whole service by `faces up` on free ports with data of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from compose.data_directory import URL
from compose.server import free_port
from tests.integration.client import Service
from tests.waiting import eventually


def run_service(
    models_path: Path, data: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[Service]:
    port, server_port = free_port(), free_port()
    log = data / "faces.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "compose.cli", "up", "--port", str(port), "--data", str(data / "server"),
                "--server-port", str(server_port), "--verbose", *arguments,
            ],
            env={**os.environ, "INSIGHTFACE_MODELS_CACHE": str(models_path), **(environment or {})},
            stdout=output,
            stderr=output,
        )  # fmt: skip
    service = Service(f"http://127.0.0.1:{port}", "", process, log)
    try:
        eventually(lambda: "ready:" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        service.redis_url = (data / "server" / URL).read_text().strip()
        yield service
    finally:
        killed = process.poll() is not None
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert killed or status == 0, f"faces up ended with {status}:\n{log.read_text()[-4000:]}"
