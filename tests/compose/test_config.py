"""`faces config`: what is in force, whence, and no secret."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from compose.commands import config


def test_what_is_in_force_is_printed_as_a_configuration_file_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("FACES_PORT = 8080\n")
    monkeypatch.setenv("FACES_CONFIG", str(file))
    monkeypatch.setenv("REDIS_URL", "redis://:pa-ss-w0rd@host/0")
    monkeypatch.setenv("FACES_WEBHOOK_SECRET", "whsec_abcdef")
    monkeypatch.setenv("FACES_LEASE", "5")
    assert config.run(as_json=False) == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed) == {"FACES_PORT": 8080, "FACES_LEASE": 5.0}
    assert "pa-ss-w0rd" not in printed and "abcdef" not in printed
    assert config.run(as_json=True) == 0
    answer = capsys.readouterr().out
    assert "pa-ss-w0rd" not in answer and "abcdef" not in answer
    origins = {row["name"]: row["origin"] for row in msgspec.json.decode(answer)}
    assert origins["FACES_PORT"] == str(file) and origins["FACES_LEASE"] == "environment"
    assert origins["FACES_HOST"] == "default"
