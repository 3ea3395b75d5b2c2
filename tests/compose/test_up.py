"""``faces up`` before it starts anything."""

import socket
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from compose.commands.up import _port
from compose.launcher import check_free
from compose.supervisor import ProcessFailed


def faces_up(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compose.cli", "up", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("option", "another"), [("--port", "--host or --port"), ("--server-port", "--server-port")]
)
def test_a_port_in_use_ends_faces_up_at_once(
    option: str, another: str, models_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACES_MODELS", str(models_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = faces_up("--port", "0", option, str(port), "--data", str(tmp_path / "data"))
    assert (ended.returncode, ended.stdout) == (1, ""), "no process was started"
    sentence = f"cannot listen on 127.0.0.1, port {port}: address already in use; give another {another}"
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["300.1.1.1", "no.such.host.invalid", "203.0.113.7"])
def test_a_host_that_is_not_here_is_named(host: str) -> None:
    with pytest.raises(ProcessFailed, match=f"cannot listen on {host}"):
        check_free(host, 0)


def test_loopback_of_both_families_is_free() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::"):
        check_free(host, 0)


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a port from 0 to 65535"):
        _port(port)


def test_a_metrics_port_in_use_ends_a_worker_at_once(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("FACES_METRICS_PORT", str(port))
        monkeypatch.setenv("REDIS_URL", valkey)
        command = [sys.executable, "-m", "consumers", "webhooks"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2, "a restart does not help"
    assert f"FACES_METRICS_PORT: cannot listen on port {port}: address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
