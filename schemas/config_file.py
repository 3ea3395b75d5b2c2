"""The configuration file: settings by their names, in TOML. What the environment holds comes first."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = Path("faces", "config.toml")


class ConfigFileError(ValueError):
    """The file cannot be read; the text names it."""


def locate(environment: Mapping[str, str]) -> Path | None:
    """Returns the file that is used: FACES_CONFIG, else the first of XDG's directories for configuration that has one
    (XDG Base Directory Specification); None: there is none."""
    if named := environment.get("FACES_CONFIG"):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    directories = [home, *(environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)]
    files = (Path(directory) / NAME for directory in directories if os.path.isabs(directory))  # noqa: PTH117
    return next((file for file in files if os.path.lexists(file)), None)


def read(file: Path) -> dict[str, Any]:
    """Returns the values of a file.

    Raises:
        ConfigFileError: it is no TOML, or not readable.
    """
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigFileError(f"{file}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"{file} is not TOML: {error}") from error
