"""``faces mcp``: the questions of a library as tools of the Model Context Protocol, over stdin and stdout."""

import asyncio
import os
import sys
from pathlib import Path

from compose import service
from compose.arguments import DEFAULT_LIBRARY, Commands, data_option, verbose_option

KEY = "FACES_KEY"
"""Environment variable with the key of a service that needs one; other users see arguments, not the environment."""
PATIENCE_SECONDS = 5.0
"""How long a busy service is asked again, and one that cannot be reached."""


def register(commands: Commands) -> None:
    """Adds ``faces mcp``."""
    parser = commands.add_parser(
        "mcp", help="serve a library to a language model (Model Context Protocol, stdio)",
        parents=[verbose_option(), data_option()],
    )  # fmt: skip
    parser.add_argument(
        "--url",
        metavar="URL",
        help="address of the service (default: the one that runs here); key in FACES_KEY",
    )
    parser.add_argument(
        "--library", metavar="NAME", help="default library (default: FACES_LIBRARY, else home)"
    )
    parser.add_argument("--allow-changes", action="store_true", help="offer tools that name people, and undo")
    parser.set_defaults(run=run)


def run(url: str | None, library: str | None, allow_changes: bool, data: Path | None) -> int:
    """Serves until the input ends; returns the exit status."""
    try:
        from compose.mcp_tools import build_server
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "mcp_types", "pydantic"):
            raise
        sys.stderr.write("faces mcp: the package mcp is missing: pip install 'mcp>=2.3,<3'\n")
        return 2
    from schemas.client import AsyncClient
    from schemas.settings import SettingsError

    async def serve(address: str, chosen: str) -> None:
        async with AsyncClient(address, key=os.environ.get(KEY), patience=PATIENCE_SECONDS) as client:
            await build_server(client, chosen, allow_changes=allow_changes).run_stdio_async()

    try:
        settings = service.settings(data)
        running = service.find(data or settings.data_path)
        address = url or (
            running.url.removesuffix("/faces/") if running else f"http://127.0.0.1:{settings.port}"
        )
        asyncio.run(serve(address, library or settings.library or DEFAULT_LIBRARY))
    except (service.NoService, SettingsError) as error:
        sys.stderr.write(f"faces mcp: {error}\n")
        return 1
    return 0
