"""``python -m api``: the API as one process."""

import sys

import uvloop
from aiohttp import web

from api.app import create_app
from schemas.logs import configure_logs
from schemas.settings import Settings, SettingsError


def main() -> int:
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        sys.stderr.write(f"faces api: {error}\n")
        return 2
    configure_logs(settings)
    web.run_app(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
        shutdown_timeout=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
