"""Redis server: checks whether it is usable, classifies its errors, retries calls while it is unavailable."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisClusterException, RedisError, ResponseError

from schemas.store.connection import info_of_primaries
from schemas.store.server_errors import error_text, is_unavailable

log = structlog.get_logger(__name__)

MAX_BLOCK_SECONDS = 2.0
"""Longest blocking read. Short, because Redis 6.2 does not wake a reader whose stream was flushed."""
MAX_OUTAGE_SECONDS = 600.0
"""A worker gives up when the server was unreachable for this long, and its supervisor restarts it."""
MAX_RETRY_PAUSE_SECONDS = 2.0
"""Upper bound of the exponential backoff between two tries of a call."""

Reply = TypeVar("Reply")
Arguments = TypeVarTuple("Arguments")


class ServerError(Exception):
    """The Redis server cannot be used; the message says why."""


class ServerUnreachable(ServerError):
    """The Redis server cannot be reached at the moment."""


async def check_server(redis: Redis, *, known: bool = False) -> str:
    """Returns name and version of the server, after checking that it can be used.

    Args:
        known: the server, or another node of it, has answered this process: it is waited for, as in an outage.

    Raises:
        ServerUnreachable: the server cannot be reached.
        ServerError: the server is too old, is still loading, or evicts keys when its memory is full.
    """
    try:
        read = info_of_primaries if known else _info_of_primaries
        nodes = await retry_until_available("check server", read, redis)
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
        return await info_of_primaries(redis)
    except BusyLoadingError:
        raise
    except (RedisError, RedisClusterException, OSError) as error:
        if isinstance(error, ResponseError) and is_transient(error):
            raise  # a script runs for too long: retried
        # Not retried: when a worker starts, a wrong address is likelier than a failover.
        raise ServerUnreachable(f"cannot reach the server: {error}") from error


def is_transient(error: BaseException) -> bool:
    """Reports whether the same call to the server may succeed later."""
    return isinstance(error, OSError) or is_unavailable(error)


async def retry_until_available(
    operation: str, call: Callable[[*Arguments], Awaitable[Reply]], *arguments: *Arguments
) -> Reply:
    """Calls a coroutine function, retrying transient errors with exponential backoff and jitter.

    A server that refuses the call (full memory, full disk, long script) is waited for without limit: a restarted
    worker would meet the same refusal, and the restart would count as a crash against every entry that it owns.

    Args:
        operation: verb and object, for the log.

    Raises:
        RedisError: the error is not transient, or the server was unreachable for longer than `MAX_OUTAGE_SECONDS`.
    """
    clock, pause = asyncio.get_running_loop().time, 0.05
    deadline = clock() + MAX_OUTAGE_SECONDS
    while True:
        try:
            reply = await call(*arguments)
            _raise_if_cancelled()
            return reply
        except (RedisError, RedisClusterException, OSError) as error:
            _raise_if_cancelled()
            if isinstance(error, ResponseError):
                deadline = clock() + MAX_OUTAGE_SECONDS
            if not is_transient(error) or clock() > deadline:
                raise
            log.warning("server unavailable", operation=operation, error=error_text(error))
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
    """Creates a consumer group that reads the stream from its beginning; returns False when it exists already.

    Raises:
        ServerError: the key holds something else than a stream.
    """
    try:
        await redis.xgroup_create(stream, group, id="0", mkstream=True)
    except ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise ServerError(
                f"the key {stream} on the server holds no stream; another program seems to have written it: "
                "delete it, or set another FACES_PREFIX"
            ) from error
        if "BUSYGROUP" not in str(error):
            raise
        return False
    return True
