"""A running service and a client for it: submit, wait for the end, read the result."""

import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.waiting import eventually


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Service:
    """A running service and how to talk to it."""

    url: str
    redis_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return _ask(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self._send("POST", path, body, headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self._send("PATCH", path, body, None)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str] | None) -> Answer:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = headers or {"Content-Type": "application/json"}
        return _ask(urllib.request.Request(self.url + path, data=data, headers=headers, method=method))

    def delete(self, path: str) -> Answer:
        return _ask(urllib.request.Request(self.url + path, method="DELETE"))

    def submit(self, body: Any) -> str:
        answer = self.post("/faces/analyze", body)
        assert answer.status == 202, answer
        assert answer.json["status"] == "queued"
        return str(answer.json["job_id"])

    def ended(self, job_id: str, within: float = 120) -> dict[str, Any]:
        """The job's last status; every one on the way there is one that vision-api would accept."""

        def look() -> dict[str, Any] | None:
            answer = self.get(f"/faces/jobs/{job_id}/status")
            assert answer.status == 200, answer
            status: dict[str, Any] = answer.json
            assert status["job_id"] == job_id
            assert isinstance(status["progress"], (int, float)) and 0 <= status["progress"] <= 1
            assert isinstance(status["stage"], str) and isinstance(status["message"], str)
            return status if status["status"] not in ("queued", "processing") else None

        return eventually(look, within)

    def result(self, job_id: str) -> Any:
        answer = self.get(f"/faces/jobs/{job_id}/results")
        assert answer.status == 200, answer
        return answer.json

    def analyze(self, body: Any) -> Any:
        """Submits, waits for the end and returns the result."""
        job_id = self.submit(body)
        status = self.ended(job_id)
        assert status["status"] == "completed", status
        return self.result(job_id)


def pids_of(command: str, service: Service, anybody: bool = False) -> list[int]:
    """Returns the processes of this service whose command line contains `command`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (process / "environ").read_bytes().decode(errors="replace")
            if command in line and (anybody or service.redis_url in environment):
                found.append(int(process.name))
    return sorted(found)


def without_times(result: Any) -> Any:
    """A result without what may differ between two runs: its ids and its time."""
    metadata = {k: v for k, v in result["metadata"].items() if k != "processing_time_seconds"}
    return {"faces": result["faces"], "metadata": metadata}


def _ask(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))
