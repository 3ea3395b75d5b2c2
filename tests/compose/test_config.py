"""`faces config`: what is in force, whence, and no secret."""

import os
import pwd
import tomllib
from pathlib import Path

import msgspec
import pytest

from compose.commands import config
from compose.data_directory import private_directory
from compose.failures import sentence
from compose.local_library import user_name
from compose.supervisor import ProcessFailed
from schemas.settings import Settings, SettingsError


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


def test_a_user_without_home_and_name_is_not_given_a_directory_called_tilde(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that runs under a number alone."""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="no home directory; set HOME, or FACES_DATA and"):
        _ = Settings().data_path
    with pytest.raises(SettingsError, match="no home directory"):
        _ = Settings().models_path
    assert str(Settings(data="/data").data_path) == "/data"
    assert user_name() == str(os.getuid()), "the log of a library says who corrected it"


def test_errors_of_the_system_are_in_words() -> None:
    assert sentence(OSError(28, "No space left on device"), "/data") == "/data: no space left on device"
    assert sentence(OSError(13, "Permission denied", "/data/x"), "/data") == "/data/x: permission denied"


@pytest.mark.parametrize(
    ("place", "reason"), [("file", "is no directory"), ("file/data", "cannot be made: not a dir")]
)
async def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProcessFailed, match=f"{place} {reason}.*; give another --data"):
        async with private_directory(tmp_path / place):
            pass
