"""The processes of a stack, started one by one as an operator without `faces up` does."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from compose.server import free_port
from tests.consumers.runtime.servers import Server, binary
from tests.integration.client import Service
from tests.waiting import eventually

STARTED_WITHIN = 120.0


@dataclass
class Stack:
    """Attributes:
    folder: where the server's data and all logs lie.
    environment: of every process.
    """

    folder: Path
    models_path: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.server = Server(binary("valkey", self.folder), self.data, append_only=True)
        self.api_port = free_port()

    @property
    def url(self) -> str:
        return self.server.url

    def start(self, name: str, *command: str, checkout: Path | None = None) -> subprocess.Popen[bytes]:
        """``python -m …`` under a name; ``checkout``: of another version, instead of this one."""
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=checkout,
            env={
                **os.environ, "REDIS_URL": self.url, "INSIGHTFACE_MODELS_CACHE": str(self.models_path),
                "FACES_MEDIA_ROOTS": "/", "FACES_PORT": str(self.api_port), "FACES_WORKER": name,
                "FACES_THREADS": "2", **self.environment,
            },
            stdout=(self.folder / f"{name}.log").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.running[name] = process
        return process

    def start_api(self) -> Service:
        process = self.start("api", "api")
        service = Service(f"http://127.0.0.1:{self.api_port}", self.url, process, self.folder / "api.log")
        eventually(lambda: self._answers(service), STARTED_WITHIN)
        return service

    def _answers(self, service: Service) -> bool:
        try:
            return service.get("/faces/ready").status == 200
        except OSError:
            return False

    def until_works(self, name: str) -> None:
        """Waits until the worker of this name has said so."""
        with Redis.from_url(self.url) as redis:

            def heard() -> bool:
                assert self.running[name].poll() is None, (self.folder / f"{name}.log").read_text()[-2000:]
                return any(
                    key.startswith(f"{name}.".encode()) for key in redis.hkeys("faces-service:workers")
                )

            eventually(heard, STARTED_WITHIN)

    def stop(self, name: str, within: float = 60.0) -> int:
        """Asks it to end, as a container's runtime does; its exit status."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(within)

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        self.server.stop()
