"""The Frame Server double as a process of its own that tests start, kill and tell what to do wrong."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from tests.waiting import eventually

ROOT = Path(__file__).parents[3]


class ServerProcess:
    """The double: started, killed and started again on one port."""

    def __init__(self, volume: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.volume = volume
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.consumers.sources.frame_server_process",
            str(self.port),
            str(self.volume),
        ]
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.is_running, "the Frame Server double ended"
        try:
            self.faults()
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def faults(self, **faults: Any) -> None:
        request = urllib.request.Request(
            f"{self.url}/faults",
            msgspec.json.encode(faults),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=10).close()

    def requests(self) -> list[list[Any]]:
        with urllib.request.urlopen(f"{self.url}/faults/requests", timeout=10) as answer:
            requests: list[list[Any]] = msgspec.json.decode(answer.read())
        return requests
