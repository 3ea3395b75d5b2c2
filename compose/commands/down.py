"""``faces down``: stops the service that ``faces up`` runs."""

import os
import signal
import sys
import time
from pathlib import Path

from compose import service
from compose.arguments import Commands, service_options
from compose.terminal import print_json
from schemas.settings import Settings

STOP_SECONDS = 60.0
"""How long the processes may take to finish their messages; each is killed after 20 s, one group after the other."""
POLL_SECONDS = 0.1


def register(commands: Commands) -> None:
    """Adds ``faces down``."""
    parser = commands.add_parser("down", help="stop the service of faces up", parents=[service_options()])
    parser.set_defaults(run=run)


def run(data: Path | None, as_json: bool) -> int:
    """Asks the service to stop and waits for its end.

    Returns:
        Exit status: 0 when none runs any more.
    """
    directory = data or Settings.from_env().data_path
    running = service.find(directory)
    if running is None:
        sys.stderr.write(f"faces down: no service runs with the data directory {directory}\n")
        return 0
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while service.find(directory) == running:
        if time.monotonic() > deadline:
            sys.stderr.write(f"faces down: process {running.pid} still runs; see {running.log}\n")
            return 1
        time.sleep(POLL_SECONDS)
    if as_json:
        print_json({"stopped": running.url})
    else:
        sys.stdout.write(f"stopped: {running.url}\n")
    return 0
