"""Where ``faces up`` runs: a record in its data directory, by which the other commands find it."""

import os
from pathlib import Path

import msgspec

from compose.arguments import to_type
from compose.data_directory import owner, write_private
from schemas.settings import Settings, given

RECORD = "service.json"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A service.

    Attributes:
        pid: process of ``faces up``.
        url: address of the page.
        since: Unix seconds.
        log: file of the log lines of all processes.
        settings: of its processes, with the address of the server; private, as the directory is.
    """

    pid: int
    url: str
    since: float
    log: str
    settings: Settings


class NoService(Exception):
    """No service runs that could do what is asked; the text says how to start one."""


def write(data: Path, running: Running) -> None:
    """Writes the record."""
    write_private(data / RECORD, msgspec.json.encode(running).decode())


def find(data: Path) -> Running | None:
    """Returns the service that runs with a data directory; None: none does."""
    pid = owner(data)
    try:
        running = msgspec.json.decode((data / RECORD).read_bytes(), type=Running)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    return running if running.pid == pid else None


def settings(data: Path | None) -> Settings:
    """Returns the settings with which a command reaches its service.

    They are those of the service that runs with the data directory, which need not be named; where REDIS_URL is set,
    and no directory is named, they are those of the environment.

    Raises:
        NoService: none runs with the directory that was named.
    """
    mine = Settings.from_env()
    if data is None and "REDIS_URL" in given(os.environ):
        return mine
    if (running := find(data or mine.data_path)) is not None:
        return running.settings
    if data is not None:
        raise NoService(f"no service runs with the data directory {data}; start it: {to_type('up', data)}")
    return mine
