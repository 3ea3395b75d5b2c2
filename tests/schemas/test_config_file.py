"""The configuration file: where it is looked for, and what it may hold."""

from pathlib import Path

import pytest

from schemas.config_file import locate
from schemas.settings import Settings, SettingsError, given


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".config" / "faces").mkdir(parents=True)
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "everybody")}


def written(home: dict[str, str], text: str) -> Path:
    file = Path(home["HOME"], ".config", "faces", "config.toml")
    file.write_text(text)
    return file


def test_a_file_sets_what_the_environment_does_not(home: dict[str, str]) -> None:
    file = written(
        home, 'FACES_PORT = 8080\nFACES_CHECK_SOURCES = true\nLOG_LEVEL = "DEBUG"\nFACES_LEASE = 5\n'
    )
    settings = Settings.from_env({**home, "LOG_LEVEL": "ERROR", "FACES_LEASE": ""})
    assert (settings.port, settings.check_sources, settings.log_level, settings.lease) == (
        8080,
        True,
        "ERROR",
        5.0,
    )
    origins = {name: entry.origin for name, entry in given({**home, "LOG_LEVEL": "ERROR"}).items()}
    assert origins == {
        "FACES_PORT": str(file), "FACES_CHECK_SOURCES": str(file), "FACES_LEASE": str(file),
        "LOG_LEVEL": "environment",
    }  # fmt: skip


def test_the_first_of_the_standard_places_is_used(home: dict[str, str], tmp_path: Path) -> None:
    assert locate(home) is None
    shared = tmp_path / "everybody" / "faces" / "config.toml"
    shared.parent.mkdir(parents=True)
    shared.touch()
    assert locate(home) == shared
    mine = written(home, "")
    assert locate(home) == mine
    assert locate({**home, "XDG_CONFIG_HOME": str(tmp_path / "everybody")}) == shared
    assert locate({**home, "FACES_CONFIG": "/other.toml"}) == Path("/other.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FACES_PROT = 1", "FACES_PROT: Unknown name; did you mean FACES_PORT?"),
        ("FACES_PORT = 'http'", "FACES_PORT (FILE): Expected `int`, got `str`"),
        ("FACES_PORT = 99999", "FACES_PORT (FILE): Expected `int` <= 65535"),
        ("FACES_ALLOWED_HOSTS = ['a']", "FACES_ALLOWED_HOSTS (FILE): Expected `str`, got `array`"),
        ("FACES_PORT", "FILE is not TOML: "),
        ("[api]\nFACES_PORT = 1", "FILE: api: Unknown name; "),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(home: dict[str, str], text: str, message: str) -> None:
    file = written(home, text)
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(home)
    assert message.replace("FILE", str(file)) in str(refused.value)


def test_a_file_that_is_named_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"/nope\.toml: no such file"):
        Settings.from_env({"FACES_CONFIG": "/nope.toml"})
