"""``python -m api``: the API as one process."""

import logging
import sys

import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from api.app import create_app
from api.auth import NoKeys
from schemas.logs import configure_logs
from schemas.settings import Settings, SettingsError

HEADER_TIMEOUT_SECONDS = 65.0
"""A connection without a complete request header for this time is closed, new and kept ones alike. Longer than the 60
seconds for which nginx keeps connections."""
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
        web.run_app(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            print=None,
            access_log=None,
            loop=uvloop.new_event_loop(),
            shutdown_timeout=5,
            keepalive_timeout=HEADER_TIMEOUT_SECONDS,
        )
    except (NoKeys, SettingsError) as error:
        sys.stderr.write(f"faces api: {error}\n")
        return CANNOT_START
    except OSError as error:
        sys.stderr.write(f"faces api: cannot listen on {settings.host}:{settings.port}: {error.strerror}\n")
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
