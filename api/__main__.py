"""``python -m api``: the API as one process."""

import sys

import uvloop
from aiohttp import web

from api.access import NoKeys
from api.app import create_app
from schemas.logs import configure_logs
from schemas.settings import Settings, SettingsError

CANNOT_START = 2
"""Exit status that tells a supervisor that starting again will not help."""


def main() -> int:
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        sys.stderr.write(f"faces api: {error}\n")
        return CANNOT_START
    configure_logs(settings)
    try:
        web.run_app(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            print=None,
            access_log=None,
            loop=uvloop.new_event_loop(),
            shutdown_timeout=5,
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
