"""Injects faults while jobs of real video run, and compares each result with that of an undisturbed run.

    python -m tests.chaos.disturb --kills 200 --seed 1 VIDEO…

Prints the number of faults of each kind. Fails when a job does not end, ends twice or with another result, or leaves
entries or keys behind.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from schemas.names import Names
from schemas.topology import PROCESSES, groups
from tests.integration.client import Service, pids_of, without_times
from tests.integration.conftest import run_service
from tests.waiting import eventually

LEASE_SECONDS = 2.0
STARTED_AFTER_SECONDS = 6.0
"""Seconds after its start at which a process works, and its death is not one of a row (compose.supervisor)."""
GROUPS = groups(Names())
SCALE = ",".join(f"{process}=2" for process in PROCESSES)
INTERVALS = (0.5, 0.7, 1.0, 1.3)


class Disturber:
    """Injects faults into a running service, one at a time, in an order that the seed determines."""

    def __init__(self, service: Service, seed: int) -> None:
        self._service = service
        self._random = random.Random(seed)
        self._redis = Redis.from_url(service.redis_url)
        self._paused: dict[int, float] = {}
        self.done: Counter[str] = Counter()

    def disturb(self) -> None:
        ways: list[Callable[[], bool]] = [
            *[self._kill] * 12, *[self._pause] * 2, self._kill_server, self._cut_connections, self._destroy_group,
            *[self._duplicate] * 3,
        ]  # fmt: skip
        way = self._random.choice(ways)
        with suppress(RedisError):  # the server may be the one that is down
            if way():
                self.done[way.__name__.strip("_").replace("_", " ")] += 1

    def calm(self) -> None:
        """Resumes all paused processes."""
        self.resume(everyone=True)
        self._redis.close()

    def _kill(self) -> bool:
        """Kills a worker that has run long enough to hold work; one that is still starting has nothing to lose."""
        stage = self._random.choice(tuple(PROCESSES))
        pids = [
            pid for pid in pids_of(f"consumers {stage}", self._service) if _age(pid) > STARTED_AFTER_SECONDS
        ]
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

    def _kill_server(self) -> bool:
        port = self._service.redis_url.rsplit(":", 1)[1].split("/")[0]
        pids = pids_of(f"valkey-server 127.0.0.1:{port}", self._service, anybody=True)
        if pids:
            _signal(pids[0], signal.SIGTERM)  # an orderly restart: append-only persistence keeps what it said
        return bool(pids)

    def _cut_connections(self) -> bool:
        self._redis.client_kill_filter(_type="normal", skipme=True)
        return True

    def _destroy_group(self) -> bool:
        stream = self._random.choice(list(GROUPS))
        return bool(self._redis.xgroup_destroy(stream, GROUPS[stream]))

    def _duplicate(self) -> bool:
        stream = self._random.choice(list(GROUPS))
        entries: Any = self._redis.xrange(stream, count=20)
        if entries:
            self._redis.xadd(stream, self._random.choice(entries)[1])
        return bool(entries)

    def resume(self, everyone: bool = False) -> None:
        """Resumes processes that were paused for longer than their lease."""
        for pid, until in list(self._paused.items()):
            if everyone or time.monotonic() > until:
                _signal(pid, signal.SIGCONT)
                del self._paused[pid]


def undisturbed(service: Service, videos: Sequence[Path]) -> dict[str, Any]:
    return {key: without_times(service.analyze(wanted)) for key, wanted in _requests(videos)}


def disturbed(
    service: Service, videos: Sequence[Path], expected: dict[str, Any], kills: int, seed: int
) -> Counter[str]:
    """Runs jobs until so many workers were killed, then checks that nothing is left behind."""
    disturber, ended, compared = Disturber(service, seed), list[str](), 0
    pause = random.Random(seed)
    while disturber.done["kill"] < kills:
        jobs = {f"{key}-{compared}-{seed}": key for key, _ in _requests(videos)}
        bodies = dict(_requests(videos))
        for job_id, key in jobs.items():
            parameters = {**bodies[key]["parameters"], "cache_duration": 0}
            _patiently(lambda: service.submit({**bodies[key], "job_id": job_id, "parameters": parameters}))  # noqa: B023
        while not all(_ended(service, job_id) for job_id in jobs):
            if disturber.done["kill"] < kills:
                disturber.disturb()
            disturber.resume()
            time.sleep(pause.uniform(0.02, 0.4))
        for job_id, key in jobs.items():
            status = _patiently(lambda: service.wait_for_end(job_id))  # noqa: B023
            assert status["status"] == "completed", status
            result = _patiently(lambda: without_times(service.result(job_id)))  # noqa: B023
            assert result == expected[key], f"{job_id} came out differently"
            compared += 1
        ended += jobs
    disturber.calm()
    nothing_left(service)
    each_ended_once(service, ended)
    disturber.done["results compared"] = compared
    return disturber.done


def nothing_left(service: Service) -> None:
    """Checks that no entry is queued or pending, no consumer outlives its worker, and every key of a job expires."""
    with Redis.from_url(service.redis_url) as redis:
        for stream, group in GROUPS.items():
            eventually(lambda: redis.xlen(stream) == 0)  # noqa: B023
            eventually(lambda: _gone(redis, stream, group) == [])  # noqa: B023
            pending: Any = redis.xpending(stream, group)
            assert pending["pending"] == 0, (stream, pending)
        assert redis.xlen("faces:dead") == 0, redis.xrange("faces:dead")
        assert redis.zcard("faces:active") == 0
        lasting = {key.decode() for key in redis.scan_iter() if redis.ttl(key) < 0}
        assert lasting <= {*GROUPS, Names().events, Names().jobs}, lasting


def each_ended_once(service: Service, jobs: Sequence[str]) -> None:
    with Redis.from_url(service.redis_url) as redis:
        events: Any = redis.xrange(Names().events)
    counts = Counter(fields[b"job_id"].decode() for _, fields in events)
    assert {job: counts[job] for job in jobs} == dict.fromkeys(jobs, 1)


def _gone(redis: "Redis", stream: str, group: str) -> list[str]:
    """Returns consumers without a live worker."""
    try:
        consumers: Any = redis.xinfo_consumers(stream, group)
    except ResponseError:  # the group was destroyed, and its workers have not noticed yet
        return ["?"]
    alive: Any = redis.hkeys(Names().workers)
    return [consumer["name"] for consumer in consumers if consumer["name"] not in alive]


def _requests(videos: Sequence[Path]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{number}-{interval}", {"video_path": str(video), "parameters": {"sampling_interval": interval}})
        for number, video in enumerate(videos)
        for interval in INTERVALS
    ]


def _ended(service: Service, job_id: str) -> bool:
    status = _patiently(lambda: service.get(f"/faces/jobs/{job_id}/status").json["status"])
    return status not in ("queued", "processing")


def _patiently(ask: Callable[[], Any]) -> Any:
    """Retries a request: the API may be unreachable, or answer 503, while Redis is."""
    until = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (OSError, AssertionError, KeyError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    videos = [video.resolve() for video in arguments.videos]
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    with tempfile.TemporaryDirectory() as data:
        running = run_service(models, Path(data), "--scale", SCALE, environment=ENVIRONMENT)
        service = next(running)
        try:
            expected = undisturbed(service, videos)
            done = disturbed(service, videos, expected, arguments.kills, arguments.seed)
        except BaseException:
            print(service.log.read_text()[-8000:], file=sys.stderr)
            raise
        running.close()
    for what, count in done.most_common():
        print(f"{count:6} {what}")
    return 0


ENVIRONMENT = {
    "FACES_LEASE": str(LEASE_SECONDS),
    "FACES_MAX_ATTEMPTS": "50",
    "FACES_BATCH": "2",
    "FACES_SEGMENT_SECONDS": "3",
}
"""Short leases, small batches and short segments: much work is in flight, so faults hit it often."""


if __name__ == "__main__":
    sys.exit(main())
