"""Injects faults into a running service: kills, pauses, lost connections, a server that is full, busy or flushed."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from schemas.names import Names
from schemas.topology import PROCESSES, groups, stage
from tests.integration.client import Service, pids_of

LEASE_SECONDS = 2.0
STARTED_AFTER_SECONDS = 6.0
"""Seconds after its start at which a process works, and its death is not one of a row (compose.supervisor)."""
GROUPS = groups(Names())
REQUESTS = stage(Names(), "admission").streams
CLEAR_CACHE = """
for _, stream in ipairs(ARGV) do
  if redis.call('XLEN', stream) > 0 then return 0 end
end
for _, key in ipairs(redis.call('KEYS', KEYS[1])) do redis.call('UNLINK', key) end
return 1
"""
DISK_MEBIBYTES = 1024
"""Size of the disk of the server: its append-only file, and a new one while the old one is rewritten."""
BETWEEN_FULL_DISKS_SECONDS = 10.0
"""The server's file is written anew in between (compose.append_only_file)."""
NOT_COPIED = "single"
"""Part of the ids of jobs whose bare request, published once more, would be another run."""


class Disturber:
    """Injects faults from a thread of its own, in an order that the seed determines.

    The server has one trouble at a time, and is restarted only while it has none: what a full disk has not taken is
    lost with the process, as with any Redis server.

    Args:
        disk: directory of the server's data when it is a disk of its own (`small_disk`), which is filled.
        kills: `enough` is set after so many kills of workers and the API.
    """

    def __init__(self, service: Service, seed: int, kills: int, disk: Path | None) -> None:
        self._service = service
        self._random = random.Random(seed)
        self._redis = Redis.from_url(service.redis_url)
        self._kills = kills
        self._disk = disk
        self._paused: dict[int, float] = {}
        self._trouble: tuple[float, Callable[[], object]] | None = None
        self._next_full_disk = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        self.enough = threading.Event()
        self.done: Counter[str] = Counter()

    def __enter__(self) -> "Disturber":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the thread, resumes all processes and ends the server's trouble."""
        self._stop.set()
        self._thread.join()
        self._redis.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        workers = [*[self._kill] * 14, *[self._pause] * 3, *[self._duplicate] * 3]
        server = [
            self._restart_server, self._pause_server, self._cut_connections, self._destroy_group, self._flush_scripts,
            self._clear_cache,
            self._fill_memory, self._keep_busy, self._rewrite_file, *([self._fill_disk] if self._disk else []),
        ]  # fmt: skip
        first = [*server]  # each once, also in a short run
        try:
            while not self._stop.wait(self._random.uniform(0.1, 1.7)):
                self._end_troubles()
                if self.enough.is_set():
                    continue
                way = (
                    first[0]
                    if first and self._random.random() < 0.4
                    else self._random.choice([*workers, *server])
                )
                with suppress(RedisError):  # the server may be the one that is down
                    if way():
                        self.done[way.__name__.strip("_").replace("_", " ")] += 1
                        if way in first:
                            first.remove(way)
                if self.done["kill"] >= self._kills and not first:
                    self.enough.set()
        except BaseException as error:  # noqa: BLE001 - raised where the thread is ended
            self._failure = error
            self.enough.set()
        finally:
            self._end_troubles(everything=True)

    def _end_troubles(self, everything: bool = False) -> None:
        """Resumes what was paused for longer than its lease, and ends a trouble of the server that is over."""
        now = time.monotonic()
        for pid, until in list(self._paused.items()):
            if everything or now > until:
                _signal(pid, signal.SIGCONT)
                del self._paused[pid]
        if self._trouble is not None and (everything or now > self._trouble[0]):
            _patiently(self._trouble[1])
            self._trouble = None

    def _kill(self) -> bool:
        """Kills a worker, or the API, that has run long enough to hold work; one that starts has nothing to lose."""
        command = self._random.choice(["-m api", *(f"consumers {process}" for process in PROCESSES)])
        pids = [pid for pid in pids_of(command, self._service) if _age(pid) > STARTED_AFTER_SECONDS]
        if pids:
            _signal(self._random.choice(pids), signal.SIGKILL)
        return bool(pids)

    def _pause(self) -> bool:
        """Pauses a worker for longer than its lease: when it goes on, other workers have claimed its entries."""
        pids = [p for p in pids_of("-m consumers", self._service) if p not in self._paused]
        if pids:
            pid = self._random.choice(pids)
            _signal(pid, signal.SIGSTOP)
            self._paused[pid] = time.monotonic() + LEASE_SECONDS * 1.5
        return bool(pids)

    def _duplicate(self) -> bool:
        """Copies an entry of a stream, as a publisher does that repeats what it has published."""
        stream = self._random.choice(list(GROUPS))
        entries: Any = self._redis.xrange(stream, count=20)
        copies = [fields for _, fields in entries if NOT_COPIED.encode() not in fields.get(b"json", b"")]
        if copies:
            self._redis.xadd(stream, self._random.choice(copies))
        return bool(copies)

    def _restart_server(self) -> bool:
        """Ends the server: in order; or at once, where its disk takes every write before the server replies."""
        pids = [pid for pid in self._server_pids() if _age(pid) > STARTED_AFTER_SECONDS]
        if not pids or self._trouble is not None:
            return False
        _signal(
            pids[0], self._random.choice([signal.SIGTERM, signal.SIGKILL]) if self._disk else signal.SIGTERM
        )
        return True

    def _pause_server(self) -> bool:
        pids = self._server_pids()
        if not pids or self._trouble is not None:
            return False
        _signal(pids[0], signal.SIGSTOP)
        return self._begin_trouble(lambda: _signal(pids[0], signal.SIGCONT))

    def _cut_connections(self) -> bool:
        self._redis.client_kill_filter(_type="normal", skipme=True)
        return True

    def _destroy_group(self) -> bool:
        stream = self._random.choice(list(GROUPS))
        return bool(self._redis.xgroup_destroy(stream, GROUPS[stream]))

    def _flush_scripts(self) -> bool:
        return bool(self._redis.script_flush())

    def _clear_cache(self) -> bool:
        """Deletes all keys that other programs know, at a moment at which no request waits to be accepted."""
        names = Names()
        return bool(self._redis.eval(CLEAR_CACHE, 1, f"{names.shared}:*", *REQUESTS))

    def _fill_memory(self) -> bool:
        if self._trouble is not None:
            return False
        self._redis.config_set("maxmemory", "1")
        return self._begin_trouble(lambda: self._redis.config_set("maxmemory", "0"))

    def _fill_disk(self) -> bool:
        if self._trouble is not None or self._disk is None or time.monotonic() < self._next_full_disk:
            return False
        self._next_full_disk = time.monotonic() + BETWEEN_FULL_DISKS_SECONDS
        return self._begin_trouble(fill(self._disk).unlink)

    def _keep_busy(self) -> bool:
        """Runs a script for longer than the server lets others wait without an error."""
        if self._trouble is not None:
            return False
        self._redis.config_set("lua-time-limit", "50")
        script = threading.Thread(target=self._run_long_script, daemon=True)
        script.start()
        return self._begin_trouble(lambda: self._end_script(script))

    def _run_long_script(self) -> None:
        with Redis.from_url(self._service.redis_url, socket_timeout=60) as redis, suppress(RedisError):
            redis.eval("for i = 1, 3e10 do end", 0)  # ended by `_end_script`

    def _end_script(self, script: threading.Thread) -> None:
        while script.is_alive():
            with suppress(RedisError):  # it has not begun, or has ended by itself
                self._redis.script_kill()
            script.join(0.05)

    def _rewrite_file(self) -> bool:
        return self._trouble is None and bool(self._redis.bgrewriteaof())

    def _begin_trouble(self, end: Callable[[], object]) -> bool:
        self._trouble = time.monotonic() + self._random.uniform(0.2, 3.0), end
        return True

    def _server_pids(self) -> list[int]:
        port = self._service.redis_url.rsplit(":", 1)[1].split("/")[0]
        return pids_of(f"valkey-server 127.0.0.1:{port}", self._service, anybody=True)


@contextlib.contextmanager
def small_disk(directory: Path, mebibytes: int = DISK_MEBIBYTES) -> Iterator[Path | None]:
    """Makes the directory a disk of its own, in memory; yields None where this user may not."""
    directory.mkdir(mode=0o700)
    options = f"size={mebibytes}m,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "faces-chaos", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        yield None
        return
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path) -> Path:
    """Fills a disk with a file, and returns that."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):  # until the disk is full
        while True:
            file.write(bytes(1 << 16))
    return filler


def _patiently(call: Callable[[], object]) -> None:
    """Repeats a call that must succeed in the end: the connection may be cut again."""
    until = time.monotonic() + 60
    while True:
        try:
            call()
        except RedisError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _age(pid: int) -> float:
    """Returns the seconds since a process started."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0.0  # gone meanwhile
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
