"""Who may do what on the server: the table of roles and keys, and attacks that each role must not be able to make.

tests/integration/test_acl.py shows that every process can do its work with these rights.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from compose.acl import ROLES
from consumers.runtime.scripts import CHECK_FAN_IN
from schemas.names import Names
from schemas.store.jobs import BEGIN
from tests.acl_server import as_user, server_with_users
from tests.consumers.runtime.servers import NotInstalled, binary

READS = (
    ("GET", "KEY"), ("HGET", "KEY", "f"), ("HMGET", "KEY", "f"), ("HGETALL", "KEY"), ("HKEYS", "KEY"),
    ("HVALS", "KEY"), ("HSCAN", "KEY", "0"), ("XRANGE", "KEY", "-", "+"), ("XREVRANGE", "KEY", "+", "-"),
    ("XREAD", "STREAMS", "KEY", "0"), ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "KEY", ">"),
    ("XCLAIM", "KEY", "g", "c", "0", "1-1"), ("XAUTOCLAIM", "KEY", "g", "c", "0", "0"),
    ("ZRANGE", "KEY", "0", "-1"), ("ZRANGEBYSCORE", "KEY", "0", "1"), ("SMEMBERS", "KEY"), ("BLPOP", "KEY", "1"),
    ("LRANGE", "KEY", "0", "-1"), ("DUMP", "KEY"), ("GETDEL", "KEY"), ("GETEX", "KEY"), ("COPY", "KEY", "KEY2"),
    ("SORT", "KEY"), ("MGET", "KEY"), ("GETRANGE", "KEY", "0", "1"), ("HRANDFIELD", "KEY"), ("ZSCAN", "KEY", "0"),
)  # fmt: skip
WRITES = (
    ("SET", "KEY", "v"), ("HSET", "KEY", "f", "v"), ("HSETNX", "KEY", "f", "v"), ("HDEL", "KEY", "f"),
    ("XADD", "KEY", "*", "f", "v"), ("XDEL", "KEY", "1-1"), ("XTRIM", "KEY", "MAXLEN", "0"),
    ("XSETID", "KEY", "1-1"), ("XGROUP", "CREATE", "KEY", "g", "0"), ("ZADD", "KEY", "1", "m"),
    ("ZREM", "KEY", "m"), ("SADD", "KEY", "m"), ("SREM", "KEY", "m"), ("RPUSH", "KEY", "v"), ("DEL", "KEY"),
    ("UNLINK", "KEY"), ("EXPIRE", "KEY", "1"), ("PEXPIRE", "KEY", "1"), ("RENAME", "KEY", "KEY2"),
    ("RESTORE", "KEY", "0", "v"), ("APPEND", "KEY", "v"), ("SETEX", "KEY", "1", "v"), ("PERSIST", "KEY"),
    ("HINCRBY", "KEY", "f", "1"),
)  # fmt: skip
ALL = "api frames analyze enhance finalize operator"
TABLE = {
    # key: who may read it by some command, who may write it by some command
    "faces-service:keys": ("api operator", "operator"),
    "faces-service:idempotency:d": ("api operator", "api operator"),
    "faces-service:job:a:callbacks": ("api finalize operator", "api finalize operator"),
    "faces-service:webhooks": ("api finalize operator", "api finalize operator"),
    "faces-service:webhooks:delayed": ("api finalize operator", "api finalize operator"),
    "faces-service:events": ("api finalize operator publisher", "api finalize operator"),
    "faces-service:job:a:result": ("api finalize operator", "api finalize operator"),
    "faces-service:job:a:preview": ("api finalize operator", "api finalize operator"),
    "faces-service:job:a:deleted": ("api finalize operator", "api finalize operator"),
    "faces:cache:k:job_id": ("api finalize operator", "api finalize operator"),
    "faces-service:jobs": ("api finalize operator", "api finalize operator"),
    "faces-service:collections:names": ("api finalize operator", "api finalize operator"),
    "faces-service:collection:cast:faces": ("api finalize operator", "api finalize operator"),
    "faces-service:libraries:names": ("api finalize operator", "api finalize operator"),
    "faces-service:library:home:entries": ("api finalize operator", "api finalize operator"),
    "faces-service:job:a:film": ("api finalize operator", "api finalize operator"),
    "faces-service:search:q": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:answer:q": ("api finalize operator", "api analyze finalize operator"),
    "faces:requests": ("api finalize operator", "api finalize operator publisher"),
    "faces:requests:high": ("api finalize operator", "api finalize operator publisher"),
    "faces-service:requests:delayed": ("api finalize operator", "api finalize operator"),
    "faces-service:accepted": ("api frames finalize operator", "api frames finalize operator"),
    "faces-service:segments": ("api frames operator", "api frames operator"),
    "faces-service:frames": ("api frames analyze operator", "api frames analyze operator"),
    "faces-service:frames:express": (
        "api frames analyze enhance operator",
        "api frames analyze enhance operator",
    ),
    "faces-service:frames:urgent": (
        "api frames analyze finalize operator",
        "api frames analyze finalize operator",
    ),
    "faces-service:enhance": ("api analyze enhance operator", "api analyze enhance operator"),
    "faces-service:enhanced:x": ("enhance operator", "enhance operator"),
    "faces-service:joins": ("api frames finalize operator", "api frames finalize operator"),
    "faces-service:finalize": (ALL, ALL),
    "faces-service:collections": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:library": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:photographs": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:dead": ("api operator", ALL),
    "faces-service:workers": (ALL, ALL),
    "faces-service:active": ("api frames finalize operator", "api frames finalize operator"),
    "faces-service:active:sweeper": ("finalize operator", "finalize operator"),
    "faces-service:job:a:metadata": (ALL, ALL),
    "faces-service:job:a:outcomes": (ALL, ALL),
    "faces-service:job:a:faces": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:job:a:portraits": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:job:a:frames": (ALL, ALL),
    "faces-service:observed": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:observations:source:x": ("api analyze finalize operator", "api analyze finalize operator"),
    "faces-service:ready": ("api operator", "api operator"),
    "faces:job:a:metadata": ("api finalize operator", "api finalize operator"),
    "faces:job:a:result": ("api finalize operator", "api finalize operator"),
    "faces:job:a:results": ("api finalize operator", "api finalize operator"),
    "faces:events": ("api finalize operator publisher", "api finalize operator"),
    "faces:keys": ("operator", "operator"),
}
NOBODY = (
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/"), ("CONFIG", "REWRITE"),
    ("KEYS", "*"), ("RANDOMKEY",), ("DBSIZE",), ("SELECT", "1"), ("SWAPDB", "0", "1"),
    ("SHUTDOWN",), ("SAVE",), ("BGSAVE",), ("BGREWRITEAOF",), ("ACL", "LIST"), ("ACL", "SETUSER", "x"),
    ("ACL", "GETUSER", "default"), ("MONITOR",), ("DEBUG", "SLEEP", "1"), ("REPLICAOF", "NO", "ONE"),
    ("FAILOVER",), ("MODULE", "LIST"), ("MODULE", "LOAD", "/x.so"), ("PUBLISH", "a", "b"), ("SUBSCRIBE", "a"),
    ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "PAUSE", "1"), ("SLOWLOG", "GET"),
    ("LATENCY", "RESET"), ("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"),
    ("MIGRATE", "h", "1", "faces-service:jobs", "0", "1"), ("EVAL", "return 1", "0"), ("EVAL_RO", "return 1", "0"),
    ("FUNCTION", "LOAD", "x"), ("FCALL", "f", "0"), ("WAIT", "1", "1"), ("OBJECT", "HELP"),
    ("CLUSTER", "RESET"), ("CLUSTER", "FAILOVER"), ("CLUSTER", "FORGET", "n"),
    ("GET", "other:key"), ("SET", "other:key", "x"), ("XADD", "other", "*", "a", "b"), ("HSET", "other", "a", "b"),
)  # fmt: skip
LOADERS = {"api", "finalize", "operator"}
CALLBACK = b'{"url":"https://hooks.test/?token=secret"}'


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    try:
        program = binary(request.param, Path())
    except NotInstalled as reason:
        pytest.skip(str(reason))
    with server_with_users(program, tmp_path_factory.mktemp("acl")) as port:
        yield port


def may(root: "redis.Redis", role: str, *command: str) -> bool:
    if not root.execute_command("COMMAND INFO", command[0]):
        return False  # no command of this server
    return root.execute_command("ACL", "DRYRUN", f"faces-{role}", *command) in (b"OK", "OK")


@pytest.mark.parametrize("role", ROLES)
def test_the_table_of_who_may_read_and_write_what(port: int, role: str) -> None:
    wanted, found = dict[str, tuple[bool, bool]](), dict[str, tuple[bool, bool]]()
    with as_user(port, "root") as root:
        for name, (readers, writers) in TABLE.items():
            key = name
            placed = [
                [[key if part == "KEY" else part for part in command] for command in commands]
                for commands in (READS, WRITES)
            ]
            reads, writes = (any(may(root, role, *command) for command in commands) for commands in placed)
            wanted[name], found[name] = (role in readers.split(), role in writers.split()), (reads, writes)
            both = may(root, role, "EVALSHA", "0" * 40, "1", key)
            assert both == (reads and writes), f"scripts on {key}"
    assert found == wanted


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_administer_the_server_or_leave_its_prefix(port: int, role: str) -> None:
    with as_user(port, "root") as root:
        assert [command for command in NOBODY if may(root, role, *command)] == []
        assert may(root, role, "SCRIPT", "LOAD", "return 1") == (role in LOADERS)
        assert may(root, role, "SCAN", "0") == (role == "operator"), "finding data of an earlier version"
        assert may(root, role, "INFO") == (role != "publisher")
        assert may(root, role, "CLUSTER", "SLOTS") and may(root, role, "COMMAND"), (
            "finding the nodes of a cluster"
        )


def refused(server: "redis.Redis", *command: str | bytes) -> None:
    with pytest.raises(redis.ResponseError) as error:
        server.execute_command(*command)
    assert isinstance(error.value, NoPermissionError) or command[0] == "DEBUG", error.value


@pytest.fixture
def victim(port: int) -> Iterator["redis.Redis"]:
    """The administrator, on a server that holds a job of somebody else."""
    with as_user(port, "root") as root:
        root.flushall()
        root.hset("faces-service:job:a:metadata", mapping={"status": "processing", "created": 1})
        root.hset("faces-service:job:a:callbacks", "a", CALLBACK)
        root.hset("faces-service:keys", "admin", "{}")
        root.xadd(
            "faces:requests", {"json": '{"video_path": "/a", "callback_url": "https://hooks.test/?token=b"}'}
        )
        root.xadd("faces-service:dead", {"body": CALLBACK})
        root.xadd("faces-service:webhooks", {"json": CALLBACK})
        root.xadd("faces-service:events", {"job_id": "a", "status": "completed"})
        root.xgroup_create("faces:requests", "frames", "0")
        yield root


def test_the_file_for_redis_6_keeps_publishers_and_workers_from_ends(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert request.config.cache is not None
    try:
        program = binary("redis6", Path(request.config.cache.mkdir("servers")))
    except NotInstalled as reason:
        pytest.skip(str(reason))
    with server_with_users(program, tmp_path, redis6=True) as port:
        with as_user(port, "publisher") as publisher:
            assert publisher.xadd("faces:requests", {"json": "{}"})
            refused(publisher, "HSET", "faces-service:job:a:metadata", "alias", "b")
            refused(publisher, "EVAL", "return 1", "0")
        with as_user(port, "frames") as worker:
            assert worker.xadd("faces-service:dead", {"body": "{}"})
            refused(worker, "XADD", "faces-service:events", "*", "job_id", "a")
            refused(worker, "HSET", "faces-service:job:a:result", "part:0", "{}")
            refused(worker, "SCRIPT", "LOAD", "return 1")


def test_a_publisher_publishes_and_reads_ends(port: int, victim: "redis.Redis") -> None:
    with as_user(port, "publisher") as publisher:
        assert publisher.xadd("faces:requests:high", {"json": "{}"})
        assert publisher.xlen("faces:requests") == 1
        assert publisher.xread({"faces-service:events": "0"})


def test_a_publisher_cannot_read_a_callback_token_or_touch_a_job(port: int, victim: "redis.Redis") -> None:
    with as_user(port, "publisher") as publisher:
        attempt = partial(refused, publisher)
        attempt("HGETALL", "faces-service:job:a:callbacks")
        attempt("HGETALL", "faces-service:job:a:metadata")
        attempt("XRANGE", "faces:requests", "-", "+")
        attempt("XREAD", "STREAMS", "faces:requests", "0")
        attempt("XREADGROUP", "GROUP", "frames", "c", "STREAMS", "faces:requests", ">")
        attempt("XREAD", "STREAMS", "faces-service:dead", "0")
        attempt("XREAD", "STREAMS", "faces-service:accepted", "0")
        attempt("HSET", "faces-service:job:a:metadata", "alias", "b")
        attempt("XADD", "faces-service:accepted", "*", "json", "{}")
        attempt("XADD", "faces-service:finalize", "*", "json", "{}")
        attempt("XADD", "faces-service:events", "*", "job_id", "a", "status", "failed")
        attempt("XDEL", "faces:requests", "1-1")
        attempt("XTRIM", "faces:requests", "MAXLEN", "0")
        attempt("DEL", "faces:requests")
        attempt("ZADD", "faces-service:requests:delayed", "1", "0:x")
        attempt("XGROUP", "DESTROY", "faces:requests", "frames")


def test_a_publisher_cannot_keep_the_server_busy_with_a_script(port: int, victim: "redis.Redis") -> None:
    endless = "while true do end"
    loaded = victim.script_load("return redis.call('XLEN', KEYS[1])")
    with as_user(port, "publisher") as publisher:
        refused(publisher, "EVAL", endless, "0")
        refused(publisher, "SCRIPT", "LOAD", endless)
        refused(publisher, "EVALSHA", loaded, "1", "faces:requests")
        refused(publisher, "DEBUG", "SLEEP", "1")
        began = time.monotonic()
        assert publisher.ping() and time.monotonic() - began < 60


@pytest.mark.parametrize("role", ["frames", "analyze", "enhance"])
def test_workers_cannot_run_scripts_of_their_own(port: int, victim: "redis.Redis", role: str) -> None:
    with as_user(port, role) as worker:
        refused(worker, "EVAL", "while true do end", "0")
        refused(worker, "SCRIPT", "LOAD", "while true do end")
        refused(worker, "SCRIPT", "FLUSH")


@pytest.mark.parametrize("role", ["frames", "analyze", "enhance", "publisher"])
def test_workers_cannot_forge_webhooks_events_or_results(port: int, victim: "redis.Redis", role: str) -> None:
    direct = victim.script_load("return redis.call('XADD', ARGV[1], '*', 'json', '{}')")
    with as_user(port, role) as worker:
        for stream in ("faces-service:webhooks", "faces-service:events"):
            refused(worker, "XADD", stream, "*", "json", "{}")
            refused(worker, "EVALSHA", direct, "1", stream, stream)
            with pytest.raises((NoPermissionError, redis.ResponseError), match=r"(?i)perm|access"):
                worker.execute_command("EVALSHA", direct, "0", stream)  # a key that is not declared
        refused(worker, "HSET", "faces-service:job:a:result", "part:0", "{}")
        refused(worker, "HSET", "faces-service:job:a:callbacks", "a", b'{"url":"https://evil.test/"}')
        refused(worker, "SET", "faces:cache:k:job_id", "mine")
    assert victim.xlen("faces-service:webhooks") == 1 == victim.xlen("faces-service:events")
    assert victim.hget("faces-service:job:a:callbacks", "a") == CALLBACK


@pytest.mark.parametrize("role", ["frames", "analyze", "enhance", "publisher"])
def test_workers_cannot_read_callbacks_keys_or_letters(port: int, victim: "redis.Redis", role: str) -> None:
    with as_user(port, role) as worker:
        for stream in ("faces-service:webhooks", "faces-service:dead", "faces:requests"):
            refused(worker, "XRANGE", stream, "-", "+")
        for name in (
            "faces-service:keys",
            "faces-service:job:a:callbacks",
            "faces-service:idempotency:d",
            "faces-service:collection:cast:people",
        ):
            refused(worker, "HGET", name, "admin")


@pytest.mark.parametrize("role", sorted(ROLES.keys() - {"operator"}))
def test_only_an_operator_plants_an_api_key(port: int, victim: "redis.Redis", role: str) -> None:
    with as_user(port, role) as user:
        refused(user, "HSET", "faces-service:keys", "mine", "{}")
        refused(user, "DEL", "faces-service:keys")
    assert victim.hkeys("faces-service:keys") == [b"admin"]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_lists_or_flushes_what_others_have(port: int, victim: "redis.Redis", role: str) -> None:
    with as_user(port, role) as user:
        for command in (("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("CONFIG", "GET", "requirepass"),
                        ("CONFIG", "SET", "dir", "/tmp"), ("ACL", "LIST"), ("MONITOR",), ("DEBUG", "SLEEP", "1"),
                        ("SHUTDOWN", "NOSAVE"), ("REPLICAOF", "evil.test", "6379")):  # fmt: skip
            refused(user, *command)
    assert victim.exists("faces-service:keys")


def test_a_worker_changes_a_job_and_leaves_what_other_programs_read_to_finalize(
    port: int, victim: "redis.Redis"
) -> None:
    names, copy = Names(), Names().copies("a").metadata
    record = names.job("a").metadata
    victim.hset(record, mapping={"request": "r", "run": "1-1", "status": "queued"})
    victim.expire(record, 60)
    victim.script_load(BEGIN.text)
    with as_user(port, "frames") as worker:
        assert (
            worker.evalsha(BEGIN.sha, 2, record, names.active, 60000, 60000, "a", "r", "", "1-1") == b"begun"
        )
        refused(worker, "SET", copy, "__import__('os')")
    assert victim.hget(record, "status") == b"processing" and not victim.exists(copy)
    victim.script_load(CHECK_FAN_IN.text)
    with as_user(port, "finalize") as finalize:
        keys = (record, names.job("a").outcomes, names.finalize)
        assert finalize.evalsha(CHECK_FAN_IN.sha, 3, *keys, "1-1", "2", "f", "v") == 0
    assert b'"status":"processing"' in (victim.get(copy) or b"")
