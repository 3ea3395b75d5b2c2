"""``faces status``: whether ``faces up`` runs, where, and whether all of its stages work."""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from compose import service
from compose.arguments import Commands, service_options
from compose.terminal import print_json
from schemas.settings import Settings

ANSWER_SECONDS = 5.0


class State(msgspec.Struct, frozen=True):
    """What is known of a service.

    Attributes:
        status: ``healthy``, ``degraded`` (a stage has no worker), ``starting`` (the API does not answer yet), or
            ``down``.
        missing: stages without a worker.
    """

    status: str
    data: str
    url: str | None = None
    pid: int | None = None
    since: float | None = None
    log: str | None = None
    active_jobs: int | None = None
    missing: list[str] = []


def register(commands: Commands) -> None:
    """Adds ``faces status``."""
    parser = commands.add_parser(
        "status", help="say whether faces up runs, and where", parents=[service_options()]
    )
    parser.set_defaults(run=run)


def run(data: Path | None, as_json: bool) -> int:
    """Prints the state.

    Returns:
        Exit status: 0 when a service runs and all of its stages have workers.
    """
    state = _state(data or Settings.from_env().data_path)
    if as_json:
        print_json(state)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(state)))
    return 0 if state.status == "healthy" else 1


def _state(data: Path) -> State:
    running = service.find(data)
    if running is None:
        return State("down", str(data))
    known: dict[str, Any] = {
        "url": running.url, "pid": running.pid, "since": running.since, "log": running.log,
    }  # fmt: skip
    health = _health(running.url)
    if health is None:
        return State("starting", str(data), **known)
    return State(
        health["status"], str(data), active_jobs=health["active_jobs"], missing=health["missing"], **known
    )


def _health(url: str) -> dict[str, Any] | None:
    """The answer of the API; None: it does not answer."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with opener.open(f"{url}health", timeout=ANSWER_SECONDS) as response:
            return msgspec.json.decode(response.read(), type=dict[str, Any])
    except OSError:
        return None


def _lines(state: State) -> list[str]:
    if state.since is None:
        return [f"down: no service runs with the data directory {state.data} (faces up starts one)"]
    minutes = int(time.time() - state.since) // 60
    lines = [f"{state.status}: {state.url}"]
    if state.missing:
        lines.append(f"no worker for: {', '.join(state.missing)}")
    if state.active_jobs is not None:
        lines.append(f"jobs that wait or run: {state.active_jobs}")
    return [*lines, f"runs for {minutes} min, process {state.pid}", f"log: {state.log}"]
