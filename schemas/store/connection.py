"""How every process reaches the server."""

from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

TIMEOUT = 8.0
"""Seconds for an answer, and for a free connection."""
MOST = 256
"""Connections of a client: who comes when all are busy waits, where the library's own pool would fail."""


def connect(url: str, *, waits: float = 0.0) -> Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://`` URLs that answers in bytes.

    ``redis+cluster://`` (``rediss+cluster://``) names any node of a cluster. The prefix of all names must then
    hold a hash tag, so that what a script touches lies in one slot; everything else is the same.

    Args:
        waits: seconds that a read may wait on the server; the socket waits longer.
    """
    scheme, _, address = url.partition("://")
    options: dict[str, Any] = {
        "socket_connect_timeout": 5.0,
        "socket_timeout": TIMEOUT + waits,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries=3),
    }
    if scheme.endswith("+cluster"):
        options["max_connections"] = MOST * 4  # the cluster's client cannot wait for a free one
        cluster = RedisCluster.from_url(f"{scheme.removesuffix('+cluster')}://{address}", **options)
        return cast("Redis", cluster)  # the same commands, all that is used here
    return Redis.from_pool(
        BlockingConnectionPool.from_url(url, max_connections=MOST, timeout=TIMEOUT, **options)
    )


async def memory(redis: Redis) -> dict[str, int]:
    """Bytes that the server, or all primaries of a cluster, may use (``maxmemory``, 0: no limit) and do use."""
    client = cast("Any", redis)  # see connect()
    if isinstance(client, RedisCluster):
        nodes = list((await client.info("memory", target_nodes=RedisCluster.PRIMARIES)).values())
    else:
        nodes = [await client.info("memory")]
    return {name: sum(int(node.get(name, 0)) for node in nodes) for name in ("used_memory", "maxmemory")}
