"""``python -m compose.acl > users.acl``: writes an ACL file for the Redis server, with one user a process type.

Each user has the least rights that its process needs. For Redis 7 and later and Valkey; ``--redis6`` writes it for
Redis 6.2, which knows no separate rights to read and to write: publishers then can read requests, and workers dead
letters. The URLs with the passwords go to standard error.

A server that starts with ``--aclfile users.acl`` has no other users: the default user is off. Where FACES_PREFIX is
set, give it as ``--prefix``; with several partitions as ``--prefix '{faces:*}'``.

What an ACL cannot say: a publisher may add entries of any size and number, and XADD may trim the stream that it adds
to (MAXLEN) or take the highest id there is. So publishers have streams of their own: accepted jobs, among them all of
the API, are in others. Publishers that do not trust each other use the API.
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from schemas.names import Names
from schemas.store.fair_queue import turns, waiting
from schemas.topology import process_of, stage, stages

CONNECTION = ("ping", "client|setname", "cluster|slots", "command")
"""Commands of every client; the last two find the nodes of a cluster."""
LOADING = ("script|load", "script|exists")
"""Commands that add scripts to the server. Frames, analyze and enhance run only scripts that others have loaded: a
script of their own could keep the server busy for ever."""
FAIR = ("xinfo|groups", "zadd", "zcard", "zmscore", "zrange", "zrem", "zremrangebyrank", "zremrangebyscore")
"""Commands of fair queues."""
STAGE = (
    *CONNECTION, "info", "evalsha", "time", "exists", "xreadgroup", "xgroup|create", "xgroup|delconsumer",
    "xinfo|consumers", *FAIR, "xpending", "xclaim", "xack", "xdel", "xadd", "xlen", "xrange", "zrangebyscore", "hset",
    "hdel", "hget", "hmget", "hlen", "hexists", "hsetnx", "pttl", "expire",
    "pexpire",
)  # fmt: skip
"""Commands of every worker: on its streams, on job records, on the list of workers."""
RECORD = ("hgetall", "hkeys", "get", "set", "del", "unlink", "multi", "exec", "zrandmember")
"""Commands that end a job."""
COLLECTION = (
    "sismember", "smembers", "sadd", "srem", "hincrby", "zscore", "zscan", "zlexcount", "zrangebylex",
    "zremrangebyscore", "zrevrange", "zrevrangebylex",
)  # fmt: skip
"""Commands on collections of known people and on libraries."""


class Grant(NamedTuple):
    """A right beside those of a role: some commands, on some keys, reading (``%R~``) or writing (``%W~``) only.

    A command that reads what it changes (XCLAIM, SET … GET) is not allowed by a right to write.
    """

    access: Literal["%R~", "%W~"]
    keys: Sequence[str]
    commands: Sequence[str]


class Role(msgspec.Struct, frozen=True):
    """Rights of a user.

    Attributes:
        commands: those it may run, with those that its scripts run.
        keys: patterns, without FACES_PREFIX, of keys that it may read and write with these commands.
        grants: further rights.
    """

    commands: Sequence[str]
    keys: Sequence[str] = ()
    grants: Sequence[Grant] = ()


_NAMES = Names("")
"""Names with an empty prefix."""


def _kept(*names: str) -> tuple[str, ...]:
    """Keys that only this service uses."""
    return tuple(_NAMES.stream(name) for name in names)


def _shared(*names: str) -> tuple[str, ...]:
    """Keys that other programs know."""
    return tuple(f"{_NAMES.shared}:{name}" for name in names)


def _queued(*streams: str) -> tuple[str, ...]:
    """Streams with their fair queues."""
    return tuple(key for stream in streams for key in (stream, waiting(stream), turns(stream)))


def _streams(process: str | None = None) -> tuple[str, ...]:
    """The streams that a process reads, or all, with the keys beside them."""
    read = [one for one in stages(_NAMES) if process in (None, process_of(one))]
    return tuple(
        key
        for one in read
        for stream in one.streams
        for key in (
            *(_queued(stream) if one.fair else [stream]),
            _NAMES.delayed(stream),
            _NAMES.scan(stream),
        )
    )


REQUESTS = tuple(stage(_NAMES, "admission").streams)
ACCEPTED, FRAMES, ENHANCE, FINALIZE = (
    _queued(*stage(_NAMES, name).streams) for name in ("frames", "analyze", "enhance", "finalize")
)
DEAD = Grant("%W~", _kept("dead"), ("xadd", "xlen"))
"""Giving up a message. No worker reads the dead letters, which hold requests with their callbacks."""
JOB = _kept("job:*:metadata", "job:*:outcomes")
"""State of a running job, and the outcomes of its frames."""
COPIES = _shared("job:*:metadata", "job:*:result", "job:*:results", "cache:*", "events")
"""What other programs read of jobs, and the cache. Workers that open sources write none of it: vision-api runs a
state that is not JSON as Python."""
MOVING = ("scan", "type", "rename")
"""Commands that find and move the data of an earlier version (schemas.store.migration)."""
EARLIER = Grant("%R~", _shared("*"), ("exists",))
"""Asking whether there are data of an earlier version."""
OBSERVATIONS = _kept("observed", "observations:*")
"""What was seen in the pictures of sources. Workers that open sources cannot read it."""
KNOWN = _kept(
    "collections*",
    "collection:*",
    "libraries:names",
    "library",
    "library:*",
    "job:*:film",
    "search:*",
    "answer:*",
)
"""Collections of known people, libraries, what jobs add to these, searches in them and their replies."""
ROLES: dict[str, Role] = {
    "api": Role(
        (
            *CONNECTION, *LOADING, *RECORD, *COLLECTION, *FAIR, "info", "evalsha", "time", "exists", "xadd", "xdel",
            "xlen", "xrange", "xrevrange", "xpending", "hset", "hsetnx", "hget", "hmget", "hlen", "hdel",
            "hexists", "hstrlen", "pttl", "expire", "pexpire", "blpop",
        ),
        (
            *_streams(), *JOB, *COPIES, *KNOWN, *OBSERVATIONS,
            *_kept(
                "dead", "job:*:result", "job:*:faces", "job:*:portraits", "job:*:preview*", "job:*:frames",
                "job:*:callbacks", "job:*:deleted", "active", "jobs", "idempotency:*", "workers", "ready", "events",
            ),
        ),
        (Grant("%R~", _kept("keys"), ("hget", "hlen")), EARLIER),
    ),
    "frames": Role(
        STAGE,
        (
            *_streams("frames"), *FRAMES, *JOB,
            *FINALIZE, *_kept("joins", "active", "workers", "job:*:frames"),
        ),
        (DEAD,),
    ),
    "analyze": Role(
        (*STAGE, "get", "set", "unlink", "hstrlen", "hincrby", "sadd", "smembers"),
        (
            *_streams("analyze"), *JOB, *OBSERVATIONS, *ENHANCE, *FINALIZE,
            *_kept(
                "collections", "library", "search:*", "workers", "job:*:faces",
                "job:*:portraits", "job:*:frames",
            ),
        ),
        (
            DEAD,
            Grant("%W~", _kept("answer:*"), ("rpush", "expire")),
            Grant("%R~", _kept("library:*:thumbnails"), ("hmget",)),
        ),
    ),
    "enhance": Role(
        (*STAGE, "get", "set"),
        (
            *_streams("enhance"), *JOB, *FINALIZE,
            *_kept("frames:express", "frames:express:waiting", "enhanced:*", "workers", "job:*:frames"),
        ),
        (DEAD,),
    ),
    "finalize": Role(
        (*STAGE, *LOADING, *RECORD, *COLLECTION, "hstrlen", "rpush"),
        (
            *_streams("finalize"), *ACCEPTED, *JOB, *COPIES, *KNOWN, *OBSERVATIONS,
            *_kept(
                "frames:urgent", "photographs", "active", "active:sweeper", "jobs", "job:*:result", "job:*:faces",
                "job:*:portraits", "job:*:preview*", "job:*:frames", "job:*:callbacks", "job:*:deleted", "events",
                "workers",
            ),
        ),
        (DEAD, EARLIER),
    ),
    "publisher": Role(
        CONNECTION,
        (),
        (
            Grant("%W~", REQUESTS, ("xadd", "xlen")),
            Grant("%R~", (*_kept("events"), *_shared("events")), ("xread",)),
        ),
    ),
    "operator": Role(
        (*STAGE, *LOADING, *RECORD, *COLLECTION, *MOVING, "hstrlen", "xrevrange"), (*_kept("*"), *_shared("*"))
    ),
}  # fmt: skip
"""By process type. ``publisher``: services that add requests to the stream themselves; ``operator``: the command
line. A script needs read and write permission on each of its keys, even if it only reads them."""


def users(passwords: Mapping[str, str], prefix: str = "faces", *, redis6: bool = False) -> str:
    """The text of the ACL file.

    Args:
        passwords: by role; the file holds their SHA-256.
        prefix: first part of every key (FACES_PREFIX).
        redis6: for Redis 6.2, without rights to read or write alone.
    """
    lines = ["user default off"]
    for name, role in ROLES.items():
        digest = hashlib.sha256(passwords[name].encode()).hexdigest()
        parts = [f"user faces-{name} on #{digest} resetchannels -@all"]
        parts += _rules("~" if redis6 else "%RW~", prefix, role.keys, role.commands)
        for grant in role.grants:
            rules = _rules("~" if redis6 else grant.access, prefix, grant.keys, grant.commands)
            parts += rules if redis6 else [f"({' '.join(rules)})"]
        lines.append(" ".join(parts))
    return "\n".join(lines) + "\n"


def _rules(access: str, prefix: str, keys: Sequence[str], commands: Sequence[str]) -> list[str]:
    return [
        *(f"{access}{prefix}{key}" for key in dict.fromkeys(keys)),
        *(f"+{command}" for command in dict.fromkeys(commands)),
    ]


def main() -> int:
    """Writes the ACL file to standard output, the URLs to standard error; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m compose.acl", description=__doc__)
    parser.add_argument("--prefix", default="faces", help="FACES_PREFIX (default %(default)s)")
    parser.add_argument(
        "--url", default="redis://localhost:6379/0", help="URL of the server, without user and password"
    )
    parser.add_argument("--redis6", action="store_true", help="for Redis 6.2")
    arguments = parser.parse_args()
    passwords = {name: secrets.token_urlsafe(24) for name in ROLES}
    sys.stdout.write(users(passwords, arguments.prefix, redis6=arguments.redis6))
    parts = urlsplit(arguments.url)
    for name, password in passwords.items():
        url = parts._replace(netloc=f"faces-{name}:{password}@{parts.netloc.rpartition('@')[2]}")
        sys.stderr.write(f"{name}: REDIS_URL={url.geturl()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
