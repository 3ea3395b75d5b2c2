"""Errors of the Redis server: which of them pass by themselves, and their text without the command's arguments."""

import re

from redis.exceptions import (
    ClusterError,
    ConnectionError,
    RedisClusterException,
    ResponseError,
    TimeoutError,
)

_PIPELINE_PREFIX = " of pipeline caused error: "
"""redis-py puts the failed command, arguments included, in front of the text of an error in a pipeline."""
_ARGS = re.compile(r"""\((['"])(.*)\1,\)""", re.DOTALL)
"""The arguments of the exception as a tuple, as one text."""
_CODE = "(?:^|-|: )"
"""Where an error code may stand: Redis 6.2 puts the one of an error inside a script in the middle of the text."""
_TRANSIENT = re.compile(
    rf"{_CODE}(READONLY|LOADING|OOM|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b"
)
_NO_GROUP = re.compile(rf"{_CODE}NOGROUP\b|consumer group this client was blocked on|stream key no longer")
_CODES_OF_CLASSES = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY", "TryAgainError": "TRYAGAIN"}
"""redis-py removes these error codes from the text and raises these classes instead."""


def is_unavailable(error: BaseException) -> bool:
    """Reports whether an error of redis-py means that the same call may succeed later.

    True for a lost connection, a timeout, a restart, a failover, full memory, a full disk and a script that runs for
    too long, also inside pipelines and scripts.
    """
    if isinstance(error, ConnectionError | TimeoutError | RedisClusterException | ClusterError):
        return True
    return isinstance(error, ResponseError) and _has_code(error, _TRANSIENT)


def group_missing(error: BaseException) -> bool:
    """Reports whether the stream or its consumer group does not exist (any more)."""
    return isinstance(error, ResponseError) and _has_code(error, _NO_GROUP)


def error_text(error: BaseException) -> str:
    """The text of an error. For one in a pipeline without the command: its arguments may be pictures or secrets."""
    text = str(error)
    if _PIPELINE_PREFIX in text:
        text = text.rpartition(_PIPELINE_PREFIX)[2]
        if quoted := _ARGS.fullmatch(text):
            text = quoted[2]
    return text or type(error).__name__


def _has_code(error: ResponseError, pattern: re.Pattern[str]) -> bool:
    return bool(
        pattern.search(_CODES_OF_CLASSES.get(type(error).__name__, "")) or pattern.search(error_text(error))
    )
