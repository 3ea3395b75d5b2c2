"""``python -m compose.acl > users.acl``: writes an ACL file for the Redis server, with one user a process type.

Each user has the least rights that its process needs. For Redis 7 and later and Valkey; for Redis 6.2 replace
``%RW~``, ``%R~`` and ``%W~`` by ``~``. The URLs with the passwords go to standard error.

A server that starts with ``--aclfile users.acl`` has no other users: the default user is off. Where FACES_PREFIX is
set, give it as ``--prefix``; with several partitions as ``--prefix '{faces:*}'``.
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from schemas.names import Names
from schemas.topology import process_of, stages

READ, WRITE, BOTH = "%R~", "%W~", "%RW~"

CONNECTION = ("ping", "info", "client|setinfo", "client|setname")
SCRIPTS = ("evalsha", "eval", "script|load", "time", "exists")
STAGE = (
    *CONNECTION, *SCRIPTS, "xreadgroup", "xgroup|create", "xgroup|delconsumer", "xinfo|consumers", "xpending",
    "xclaim", "xack", "xdel", "xadd", "xlen", "xrange", "zadd", "zcard", "zrange", "zrangebyscore", "zrem", "hset",
    "hdel", "hget", "hmget", "hlen", "hexists", "hsetnx", "pttl", "expire", "pexpire",
)  # fmt: skip
"""Commands of every worker: on its streams, on job records, on the list of workers."""
RECORD = ("hgetall", "hkeys", "get", "set", "del", "unlink")
"""Commands that end a job."""


class Role(msgspec.Struct, frozen=True):
    """Rights of a user.

    Attributes:
        commands: those it may run, with those that its scripts run.
        keys: patterns without the prefix, by permission (`READ`, `WRITE` or `BOTH`).
    """

    commands: Sequence[str]
    keys: Mapping[str, Sequence[str]]


COLLECTION = (
    "sismember", "smembers", "sadd", "srem", "hincrby", "zscore", "zscan", "zlexcount", "zrangebylex",
    "zremrangebyscore",
)  # fmt: skip
"""Commands on collections of known people."""


def _streams(process: str | None = None) -> tuple[str, ...]:
    """Patterns for the streams that a process reads, or for all, and for what is delayed on them."""
    return tuple(
        dict.fromkeys(
            f"{stream.split(':')[1]}*"
            for stage in stages(Names())
            for stream in stage.streams
            if process in (None, process_of(stage))
        )
    )


ENDS = ("job:*", "active", "jobs", "cache:*", "events", "webhooks")
"""Keys that the end of a job changes, and the streams that announce it."""
KNOWN = ("collections*", "collection:*", "search:*", "answer:*")
"""Collections of known people, searches in them and their replies."""
ROLES: dict[str, Role] = {
    "api": Role(
        (
            *CONNECTION, *SCRIPTS, *RECORD, *COLLECTION, "multi", "exec", "xadd", "xdel", "xlen", "xrange",
            "xrevrange", "xpending", "zadd", "zrem", "zrange", "zcard", "hset", "hsetnx", "hget", "hmget", "hlen",
            "hdel", "hexists", "pttl", "expire", "pexpire", "blpop",
        ),
        {
            BOTH: (*_streams(), "dead", "job:*:metadata", "job:*:result", "job:*:outcomes", "job:*:faces",
                   "job:*:portraits", "job:*:preview*", "job:*:deleted", "active", "jobs", "cache:*", "idempotency:*",
                   "workers", "ready", "events", *KNOWN),
            READ: ("keys",),
        },
    ),
    "frames": Role(
        (*STAGE, "set"),
        {
            BOTH: (*_streams("frames"), "frames*", "joins", "finalize", "dead", "workers", "active",
                   "job:*:metadata", "job:*:outcomes"),
            WRITE: ("job:*:frame:*",),
        },
    ),
    "analyze": Role(
        (*STAGE, "get", "set", "unlink", "del", "rpush"),
        {
            BOTH: (*_streams("analyze"), "enhance", "finalize", "collections", "dead", "workers", "search:*",
                   "answer:*", "job:*:metadata", "job:*:outcomes", "job:*:faces", "job:*:portraits", "job:*:frame:*"),
        },
    ),
    "enhance": Role(
        (*STAGE, "get", "set"),
        {
            BOTH: (*_streams("enhance"), "frames*", "finalize", "dead", "workers", "enhanced:*", "job:*:metadata",
                   "job:*:outcomes"),
            WRITE: ("job:*:frame:*",),
        },
    ),
    "finalize": Role(
        (*STAGE, *RECORD, *COLLECTION, "multi", "exec", "rpush"),
        {BOTH: (*_streams("finalize"), "accepted*", "frames*", "dead", "workers", "active:sweeper", *ENDS, *KNOWN)},
    ),
    "publisher": Role(
        ("ping", "client|setinfo", "client|setname", "xadd", "xlen", "xread"),
        {WRITE: ("requests", "requests:high", "requests:low"), READ: ("events",)},
    ),
    "operator": Role(
        (*STAGE, *RECORD, *COLLECTION, "multi", "exec", "xrevrange"),
        {BOTH: ("*",)},
    ),
}  # fmt: skip
"""By process type. ``publisher``: services that add requests to the stream themselves; ``operator``: the command
line. A script needs read and write permission on each of its keys, even if it only reads them."""


def users(passwords: Mapping[str, str], prefix: str = "faces") -> str:
    """The text of the ACL file.

    Args:
        passwords: by role; the file holds their SHA-256.
        prefix: first part of every key (FACES_PREFIX).
    """
    lines = ["user default off"]
    for name, role in ROLES.items():
        digest = hashlib.sha256(passwords[name].encode()).hexdigest()
        keys = dict.fromkeys(f"{use}{prefix}:{name}" for use, names in role.keys.items() for name in names)
        commands = [f"+{command}" for command in dict.fromkeys(role.commands)]
        lines.append(" ".join((f"user faces-{name} on #{digest} resetchannels", *keys, "-@all", *commands)))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Writes the ACL file to standard output, the URLs to standard error; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m compose.acl", description=__doc__)
    parser.add_argument("--prefix", default="faces", help="FACES_PREFIX (default %(default)s)")
    parser.add_argument(
        "--url", default="redis://localhost:6379/0", help="URL of the server, without user and password"
    )
    arguments = parser.parse_args()
    passwords = {name: secrets.token_urlsafe(24) for name in ROLES}
    sys.stdout.write(users(passwords, arguments.prefix))
    parts = urlsplit(arguments.url)
    for name, password in passwords.items():
        url = parts._replace(netloc=f"faces-{name}:{password}@{parts.netloc.rpartition('@')[2]}")
        sys.stderr.write(f"{name}: REDIS_URL={url.geturl()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
