"""``python -m api``: the API as one process."""

import asyncio
import logging
import signal
import sys

import uvloop
from aiohttp.http_exceptions import HttpProcessingError

from api.app import create_app
from api.auth import NoKeys
from api.connections import raise_open_files, serve
from schemas.logs import configure_logs
from schemas.settings import Settings, SettingsError
from schemas.store.migration import MigrationDenied

CANNOT_START = 2
"""Exit status for a wrong configuration: a supervisor does not restart the process."""


def _is_server_error(record: logging.LogRecord) -> bool:
    """Filters aiohttp's log: malformed HTTP from a client is answered 400 and not logged."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError) or error.code >= 500


def main() -> int:
    """Runs the API until it is stopped; returns the exit status."""
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        sys.stderr.write(f"faces api: {error}\n")
        return CANNOT_START
    configure_logs(settings)
    logging.getLogger("aiohttp.server").addFilter(_is_server_error)
    try:
        raise_open_files()
        uvloop.run(_run(settings))
    except (NoKeys, SettingsError, MigrationDenied) as error:
        sys.stderr.write(f"faces api: {error}\n")
        return CANNOT_START
    except OSError as error:
        sys.stderr.write(f"faces api: cannot listen on {settings.host}:{settings.port}: {error.strerror}\n")
        return CANNOT_START
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(create_app(settings), settings.host, settings.port, stop)


if __name__ == "__main__":
    sys.exit(main())
