"""Errors of the Redis server: which of them pass by themselves, and their text without the command's arguments."""

import re

from redis.exceptions import (
    ClusterError,
    ConnectionError,
    NoScriptError,
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
_CODES_OF_CLASSES = {
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "NoScriptError": "NOSCRIPT",
}
"""redis-py removes these error codes from the text and raises these classes instead."""


def is_unavailable(error: BaseException) -> bool:
    """Reports whether an error of redis-py means that the same call may succeed later.

    True for a lost connection, a timeout, a restart, a failover, full memory, a full disk, a script that runs for too
    long and one that is not loaded yet (schemas.store.lua), also inside pipelines and scripts.
    """
    if isinstance(
        error, ConnectionError | TimeoutError | RedisClusterException | ClusterError | NoScriptError
    ):
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


_REASONS = {
    "OOM": "The Redis server has reached its memory limit (maxmemory) and accepts no new data",
    "MISCONF": "The Redis server cannot write its data to disk and accepts no changes",
    "BUSY": "The Redis server is busy with a script",
    "LOADING": "The Redis server is still loading its data",
    "READONLY": "The Redis server is a replica, which accepts no changes; a failover may be under way",
    "MASTERDOWN": "The Redis server is a replica that has lost its primary",
    "NOREPLICAS": "The Redis server has too few replicas and accepts no changes",
    "CLUSTERDOWN": "The Redis cluster is not complete at the moment",
    "TRYAGAIN": "The Redis cluster is moving the keys of this request",
    "NOSCRIPT": "A script is missing on the Redis server; a worker of the finalize process loads it",
    "NOGROUP": "A consumer group is missing on the Redis server; the next worker of its stage creates it",
}


_CODED = re.compile(rf"{_CODE}({'|'.join(_REASONS)})\b")


def unavailable_reason(error: BaseException) -> str | None:
    """Why the server cannot serve a call now, as a sentence for the caller; None for an error of another kind."""
    if not (is_unavailable(error) or group_missing(error)):
        return None
    code = _CODES_OF_CLASSES.get(type(error).__name__, "")
    if not code and isinstance(error, ResponseError):
        found = _CODED.search(error_text(error))
        code = found[1] if found else "NOGROUP" if group_missing(error) else ""
    return f"{_REASONS.get(code, 'The Redis server cannot be reached')}; try again later."


def _has_code(error: ResponseError, pattern: re.Pattern[str]) -> bool:
    return bool(
        pattern.search(_CODES_OF_CLASSES.get(type(error).__name__, "")) or pattern.search(error_text(error))
    )
