"""``faces up``: runs the whole service on this machine."""

import argparse
import asyncio
import sys
from pathlib import Path

from compose.arguments import Commands, data_option, to_type
from compose.failures import sentence
from schemas.settings import Settings, SettingsError
from schemas.topology import PROCESSES

READY_SECONDS = 180.0
"""How long all stages may take until they are ready."""
ENGINE_BUILD_SECONDS = 1800.0
"""The same where TensorRT is on: it builds its engines first."""


def register(commands: Commands) -> None:
    """Adds ``faces up``."""
    parser = commands.add_parser("up", help="run the whole service on this machine", parents=[data_option()])
    parser.add_argument("--host", help="address of the API (default: FACES_HOST, 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, help="port of the API; 0: any that is free (default: FACES_PORT, 5003)"
    )
    parser.add_argument(
        "--server-port", type=_port, default=0, metavar="N",
        help="port of the embedded server, with a password (default: a Unix socket in DIR; its URL: DIR/redis-url)",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=_scale, default={}, metavar="TYPE=N,…",
        help="number of processes of a type: analyze=2,frames=2 (default: one each)",
    )  # fmt: skip
    parser.add_argument(
        "--insecure", action="store_true", help="allow requests from other machines without an API key"
    )
    parser.add_argument(
        "--open",
        action="store_true",
        dest="opened",
        help="open the page in a browser when the service is ready",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show the log of all processes, and the traceback of an error"
    )
    parser.set_defaults(run=run)


def run(
    host: str | None,
    port: int | None,
    data: Path | None,
    server_port: int,
    scale: dict[str, int],
    insecure: bool,
    opened: bool,
    verbose: bool,
) -> int:
    """Runs until Ctrl-C or SIGTERM; returns the exit status."""
    from compose import service
    from compose.launcher import UpOptions, launch
    from compose.server import free_port
    from compose.supervisor import ProcessFailed
    from models.fetch import ModelsUnavailable, ensure, is_installed

    try:
        settings = Settings.from_env()
        directory = (data or settings.data_path).absolute()
        if (running := service.find(directory)) is not None:
            raise ProcessFailed(
                f"runs already: {running.url} ({to_type('down', data)} stops it; --data DIR starts another)"
            )
        options = UpOptions(
            host or settings.host,
            (settings.port if port is None else port) or free_port(),
            directory,
            server_port,
            scale,
            insecure,
            verbose,
            opened,
        )
        if not is_installed(settings.pack, settings.models_path):
            sys.stderr.write(f"fetching the model pack {settings.pack} …\n")
        ensure(settings.pack, settings.models_path)
        seconds = READY_SECONDS if settings.tensorrt == "off" else ENGINE_BUILD_SECONDS
        asyncio.run(launch(options, seconds))
    except (SettingsError, ModelsUnavailable, ProcessFailed, OSError) as error:
        sys.stderr.write(f"faces up: {sentence(error, data or 'the data directory')}\n")
        return 1
    return 0


def _port(text: str) -> int:
    """Argument type: a TCP port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _scale(text: str) -> dict[str, int]:
    """Argument type: ``TYPE=N`` pairs, separated by commas."""
    scale = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in PROCESSES or not count.isdigit():
            raise argparse.ArgumentTypeError(
                f"{part!r} is not TYPE=N, where TYPE is one of {', '.join(PROCESSES)}"
            )
        scale[name] = int(count)
    return scale
