"""Connections to the Redis server or cluster, the same for every process."""

from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

TIMEOUT_SECONDS = 8.0
"""Limit for a reply, and for a free connection."""
MAX_CONNECTIONS = 256
"""Connections of a client; when all are busy, callers wait instead of failing as with redis-py's default pool."""


def connect(url: str, *, waits: float = 0.0) -> Redis:
    """Returns a client for a ``redis://``, ``rediss://`` or ``unix://`` URL; replies are bytes.

    ``redis+cluster://`` (``rediss+cluster://``) names any node of a cluster. The prefix of all names must then
    contain a hash tag, so that all keys of a script lie in one slot; everything else is the same.

    Args:
        waits: seconds that a read may block on the server; the socket timeout is longer by this.
    """
    scheme, _, address = url.partition("://")
    options: dict[str, Any] = {
        "socket_connect_timeout": 5.0,
        "socket_timeout": TIMEOUT_SECONDS + waits,
        "driver_info": None,  # CLIENT SETINFO, which an ACL of Redis 7.0 cannot allow
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries=3),
    }
    if scheme.endswith("+cluster"):
        options["max_connections"] = 4 * MAX_CONNECTIONS  # the cluster client fails when none is free
        cluster = RedisCluster.from_url(f"{scheme.removesuffix('+cluster')}://{address}", **options)
        return cast("Redis", cluster)  # the same commands, all that is used here
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            url, max_connections=MAX_CONNECTIONS, timeout=TIMEOUT_SECONDS, **options
        )
    )


async def info_of_primaries(redis: Redis, *sections: str) -> list[dict[str, Any]]:
    """Returns the reply of INFO from the server, or from each primary of a cluster."""
    client = cast("Any", redis)  # see connect()
    if not isinstance(client, RedisCluster):
        return [await client.info(*sections)]
    await client.initialize()
    return [await client.info(*sections, target_nodes=node) for node in client.get_primaries()]


async def memory(redis: Redis) -> dict[str, int]:
    """Bytes in use (``used_memory``) and their limit (``maxmemory``, 0: none), of the server or all primaries."""
    nodes = await info_of_primaries(redis, "memory")
    return {name: sum(int(node.get(name, 0)) for node in nodes) for name in ("used_memory", "maxmemory")}
