"""Redis server: checks whether it is usable, classifies its errors, retries calls while it is unavailable."""

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

MAX_BLOCK_SECONDS = 2.0
"""Longest blocking read. Short, because Redis 6.2 does not wake a reader whose stream was flushed."""
MAX_OUTAGE_SECONDS = 600.0
"""A worker gives up after an outage this long, and its supervisor restarts it."""
MAX_RETRY_PAUSE_SECONDS = 2.0
"""Upper bound of the exponential backoff between two tries of a call."""

_TRANSIENT = re.compile(
    r"(?:^|-|: )(READONLY|LOADING|OOM|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b"
)
_NO_GROUP = re.compile(r"(?:^|-|: )NOGROUP\b|consumer group this client was blocked on|stream key no longer")
_CODES_OF_CLASSES = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY", "TryAgainError": "TRYAGAIN"}
"""redis-py removes these error codes from the text and raises these classes instead."""

Reply = TypeVar("Reply")
Arguments = TypeVarTuple("Arguments")


class ServerError(Exception):
    """The Redis server cannot be used; the message says why."""


class ServerUnreachable(ServerError):
    """The Redis server cannot be reached at the moment."""


async def check_server(redis: Redis) -> str:
    """Returns name and version of the server, after checking that it can be used.

    Raises:
        ServerUnreachable: the server cannot be reached.
        ServerError: the server is too old, is still loading, or evicts keys when its memory is full.
    """
    try:
        nodes = await retry_until_available("check server", _info_of_primaries, redis)
    except BusyLoadingError as error:
        raise ServerError(f"the server is still loading its data: {error}") from error
    return {_check_info(info) for info in nodes}.pop()


def _check_info(info: dict[str, Any]) -> str:
    name = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    if name == "redis" and tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
        raise ServerError(f"the server is redis {version}; redis 6.2 or later, or valkey, is required")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise ServerError(
            f"the server's maxmemory-policy is {policy}, which drops queued work when memory is full; "
            "set maxmemory-policy to noeviction"
        )
    return f"{name} {version}"


async def _info_of_primaries(redis: Redis) -> list[dict[str, Any]]:
    """Returns the reply of INFO from each primary."""
    try:
        client = cast("Any", redis)  # see schemas.store.connection
        if isinstance(client, RedisCluster):
            return list((await client.info(target_nodes=RedisCluster.PRIMARIES)).values())
        return [await redis.info()]
    except BusyLoadingError:
        raise
    except (RedisError, RedisClusterException, OSError) as error:
        # Not retried: when a worker starts, a wrong address is likelier than a failover.
        raise ServerUnreachable(f"cannot reach the server: {error}") from error


def is_transient(error: BaseException) -> bool:
    """Reports whether the same call may succeed later: failover, restart, full memory, lost connection."""
    if isinstance(error, ConnectionError | TimeoutError | OSError | RedisClusterException | ClusterError):
        return True
    return isinstance(error, ResponseError) and _has_code(error, _TRANSIENT)


def group_missing(error: BaseException) -> bool:
    """Reports whether the stream or its consumer group does not exist (any more)."""
    return isinstance(error, ResponseError) and _has_code(error, _NO_GROUP)


def _has_code(error: ResponseError, pattern: re.Pattern[str]) -> bool:
    """Searches the text too: Redis 6.2 puts the code of an error inside a script in the middle of the text."""
    code = _CODES_OF_CLASSES.get(type(error).__name__, "")
    return bool(pattern.search(code) or pattern.search(str(error)))


async def retry_until_available(
    operation: str, call: Callable[[*Arguments], Awaitable[Reply]], *arguments: *Arguments
) -> Reply:
    """Calls a coroutine function, retrying transient errors with exponential backoff and jitter.

    Args:
        operation: verb and object, for the log.

    Raises:
        RedisError: the error is not transient, or the outage has lasted longer than `MAX_OUTAGE_SECONDS`.
    """
    deadline, pause = asyncio.get_running_loop().time() + MAX_OUTAGE_SECONDS, 0.05
    while True:
        try:
            reply = await call(*arguments)
            _raise_if_cancelled()
            return reply
        except (RedisError, RedisClusterException, OSError) as error:
            _raise_if_cancelled()
            if not is_transient(error) or asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("server unavailable", operation=operation, error=str(error) or type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, MAX_RETRY_PAUSE_SECONDS)


def _raise_if_cancelled() -> None:
    """Raises a cancellation that redis-py has lost.

    It sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that arrives just as the
    sending ends; a background role would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ensure_group(redis: Redis, stream: str, group: str) -> bool:
    """Creates a consumer group that reads the stream from its beginning; returns False when it exists already."""
    try:
        await redis.xgroup_create(stream, group, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
        return False
    return True
