"""The clock of the server: every time that processes compare comes from it, since clocks of hosts may be wrong."""

from redis.asyncio import Redis

from schemas.store.lua import Call, load, run

NOW = load(__package__, "now")


async def server_time(redis: Redis, key: str) -> float:
    """Returns the Unix seconds of the server, in a cluster of the node that has the key."""
    return float(await run(redis, Call(NOW, [key], [])))
