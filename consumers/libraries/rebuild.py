"""Compares the stored view of a library with what its log gives."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, cast

from redis.asyncio import Redis

from schemas.names import LibraryKeys
from schemas.store.libraries import Change

SETS = ("roll", "named", "members", "shelf", "corrections", "joins", "suggestions")
"""Keys of the view that are sorted sets."""
HASHES = ("people", "merged", "faces", "placed", "films", "jobs", "divisions")
"""Keys of the view that are hashes. Thumbnails do not follow from the log."""
View = dict[str, dict[bytes, Any]]
"""Content by key: values of a hash by field, scores of a sorted set by member."""


def folded(changes: Iterable[Change]) -> View:
    """Returns the view that these changes of an empty one give."""
    view = defaultdict[str, dict[bytes, Any]](dict)
    for key, command, argument, other in changes:
        match command:
            case "HSET":
                view[key][_bytes(argument)] = _bytes(other)
            case "ZADD":
                view[key][_bytes(other)] = float(argument)
            case _:
                view[key].pop(_bytes(argument), None)
    return view


async def stored(redis: Redis, keys: LibraryKeys) -> View:
    """Reads the view that readers see."""
    view: View = {}
    for key in HASHES:
        view[key] = cast("dict[bytes, Any]", await redis.hgetall(getattr(keys, key)))
    for key in SETS:
        members = await redis.zrange(getattr(keys, key), 0, -1, withscores=True)
        view[key] = dict(cast("list[tuple[bytes, float]]", members))
    return view


def differences(right: View, found: View) -> Iterator[Change]:
    """Yields the changes that turn one view into another."""
    for key in (*HASHES, *SETS):
        wanted, there = right.get(key, {}), found.get(key, {})
        for field in there.keys() - wanted.keys():
            yield Change(key, "ZREM" if key in SETS else "HDEL", field)
        for field, value in wanted.items():
            if there.get(field) != value:
                yield Change(key, "ZADD", value, field) if key in SETS else Change(key, "HSET", field, value)


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
