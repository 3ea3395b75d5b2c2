"""``faces migrate``: moves the data of an earlier version on the server of REDIS_URL to their present names.

The service does this itself when it starts, unless an access list of the server keeps its users from it.
"""

import asyncio

from compose.arguments import Commands, verbose_option
from schemas.names import Partitions
from schemas.settings import Settings


def register(commands: Commands) -> None:
    """Adds ``faces migrate``."""
    parser = commands.add_parser(
        "migrate",
        parents=[verbose_option()],
        help="move data of an earlier version, on servers with an access list (server: REDIS_URL)",
    )
    parser.set_defaults(run=run)


def run() -> int:
    """Moves the data; returns the exit status."""
    asyncio.run(_migrate(Settings.from_env()))
    return 0


async def _migrate(settings: Settings) -> None:
    from schemas.store.connection import connect
    from schemas.store.migration import migrate

    async with connect(settings.redis_url) as redis:
        await migrate(redis, Partitions(settings.prefix, settings.partitions))
