"""The server: whether it can be trusted with work, which of its errors pass."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    BusyLoadingError,
    ClusterError,
    ConnectionError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

log = structlog.get_logger(__name__)

LONGEST_BLOCK = 2.0
"""Seconds that a read waits on the server: short, since 6.2 does not wake a reader whose stream was flushed."""
PATIENCE = 600.0
"""Seconds that a server may be away before a worker gives up and lets its supervisor start it anew."""
SLOWEST_RETRY = 2.0

_PASSES = re.compile(
    r"(?:^|-|: )(READONLY|LOADING|OOM|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b"
)
_NO_GROUP = re.compile(r"(?:^|-|: )NOGROUP\b|consumer group this client was blocked on|stream key no longer")

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


class ServerError(Exception):
    """The server cannot be used; the text says why."""


class ServerAway(ServerError):
    """The server cannot be reached; it may be back in a moment."""


async def check_server(redis: Redis) -> str:
    """Name and version of the server.

    Raises:
        ServerAway: it cannot be reached.
        ServerError: it is too old, or evicts keys when its memory is full.
    """
    try:
        nodes = await insist("waiting until the server has loaded", _about, redis)
    except BusyLoadingError as error:
        raise ServerError(f"the server is still loading its data: {error}") from error
    return {_judged(about) for about in nodes}.pop()


def _judged(about: dict[str, Any]) -> str:
    name = "valkey" if "valkey_version" in about else "redis"
    version = str(about.get("valkey_version") or about["redis_version"])
    if name == "redis" and tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
        raise ServerError(
            f"the server is redis {version}; streams are claimed with commands of 6.2 and later"
        )
    policy = str(about.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise ServerError(
            f"the server's maxmemory-policy is {policy}: when memory runs out it would drop queued work "
            "without a word; set maxmemory-policy to noeviction"
        )
    return f"{name} {version}"


async def _about(redis: Redis) -> list[dict[str, Any]]:
    """What each primary says of itself."""
    try:
        client = cast("Any", redis)  # see schemas.store.connection
        if isinstance(client, RedisCluster):
            return list((await client.info(target_nodes=RedisCluster.PRIMARIES)).values())
        return [await redis.info()]
    except BusyLoadingError:
        raise
    except (
        RedisError,
        RedisClusterException,
        OSError,
    ) as error:  # at a start, a wrong address is likelier than a failover
        raise ServerAway(f"cannot reach the server: {error}") from error


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later: failover, restart, full memory, lost connection."""
    if isinstance(error, ConnectionError | TimeoutError | OSError | RedisClusterException | ClusterError):
        return True
    return isinstance(error, ResponseError) and code(error, _PASSES)


def group_missing(error: BaseException) -> bool:
    """Whether the error says that the stream or its consumer group is gone."""
    return isinstance(error, ResponseError) and code(error, _NO_GROUP)


def code(error: ResponseError, pattern: re.Pattern[str]) -> bool:
    """6.2 buries the code of an error inside a script in the text; redis-py strips some codes in front."""
    kind = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY", "TryAgainError": "TRYAGAIN"}
    told = kind.get(type(error).__name__, "")
    return bool(pattern.search(told) or pattern.search(str(error)))


async def insist(
    what: str, call: Callable[[*Arguments], Awaitable[Answer]], *arguments: *Arguments
) -> Answer:
    """Calls until the server answers; errors that do not pass are raised at once.

    Raises:
        RedisError: the server was away for longer than `PATIENCE`.
    """
    deadline, pause = asyncio.get_running_loop().time() + PATIENCE, 0.05
    while True:
        try:
            answer = await call(*arguments)
            _be_cancelled()
            return answer
        except (RedisError, RedisClusterException, OSError) as error:
            _be_cancelled()
            if not passes(error) or asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("server away", doing=what, error=str(error) or type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, SLOWEST_RETRY)


def _be_cancelled() -> None:
    """Sending goes through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes just as
    the sending ends; a background role would then never end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ensure_group(redis: Redis, stream: str, group: str) -> bool:
    """Creates a consumer group that reads the stream from its beginning; False: it was there."""
    try:
        await redis.xgroup_create(stream, group, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
        return False
    return True
