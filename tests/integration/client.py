"""A running service and a client for it: submit, wait for the end, read the result."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from tests.waiting import eventually


@dataclass
class Response:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Service:
    """A running service and its addresses."""

    url: str
    redis_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> Response:
        return _open(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Response:
        return self._send_json("POST", path, body, headers)

    def patch(self, path: str, body: Any) -> Response:
        return self._send_json("PATCH", path, body, None)

    def _send_json(self, method: str, path: str, body: Any, headers: dict[str, str] | None) -> Response:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", **(headers or {})}
        return _open(urllib.request.Request(self.url + path, data=data, headers=headers, method=method))

    def delete(self, path: str) -> Response:
        return _open(urllib.request.Request(self.url + path, method="DELETE"))

    def submit(self, body: Any) -> str:
        response = self.post("/faces/analyze", body)
        assert response.status == 202, response
        assert response.json["status"] == "queued"
        return str(response.json["job_id"])

    def wait_for_end(self, job_id: str, within: float = 240) -> dict[str, Any]:
        """Waits for the job to end and returns its status; checks the fields of every status on the way."""

        def look() -> dict[str, Any] | None:
            response = self.get(f"/faces/jobs/{job_id}/status")
            assert response.status == 200, response
            status: dict[str, Any] = response.json
            assert status["job_id"] == job_id
            assert isinstance(status["progress"], (int, float)) and 0 <= status["progress"] <= 1
            assert isinstance(status["stage"], str) and isinstance(status["message"], str)
            return status if status["status"] not in ("queued", "processing") else None

        return eventually(look, within)

    def result(self, job_id: str) -> Any:
        response = self.get(f"/faces/jobs/{job_id}/results")
        assert response.status == 200, response
        return response.json

    def analyze(self, body: Any) -> Any:
        """Submits, waits for the end and returns the result."""
        job_id = self.submit(body)
        status = self.wait_for_end(job_id)
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


@contextmanager
def stopped(command: str, service: Service) -> Iterator[None]:
    """Stops the processes of this service whose command line contains `command`, until the block ends.

    A job that waits for them is in the middle, however slowly or fast a test goes on.
    """
    processes = pids_of(command, service)
    assert processes
    try:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        for pid in processes:
            eventually(partial(_is_stopped, pid))
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Reads the state after the name of the program, which is in brackets (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def idle(service: Service) -> None:
    """Waits until nothing of earlier tests is under way, such as frames of a job that was cancelled."""
    eventually(lambda: not any(queue["entries"] for queue in service.get("/faces/queues").json["queues"]))


def letters(redis: Redis, body: bytes) -> list[str]:
    """Returns the ids of the dead letters of messages with this body."""
    entries: Any = redis.xrange("faces-service:dead")
    return [entry.decode() for entry, letter in entries if letter[b"body"] == body]


def without_times(result: Any) -> Any:
    """Returns a result without what differs between two runs: ids, processing time, and which frames were known."""
    how = ("processing_time_seconds", "reused_frames")
    metadata = {k: v for k, v in result["metadata"].items() if k not in how}
    return {"faces": result["faces"], "metadata": metadata}


def _open(request: urllib.request.Request) -> Response:
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Response(response.status, response.read(), dict(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.read(), dict(error.headers))
