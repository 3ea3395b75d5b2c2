"""Measures sampling of a long film by 1, 2 and 4 frames workers, beside one process that decodes all of it.

    python -m tests.bench.sampling_workers VIDEO [--minutes 20] [--interval 2] [--part 120]

The workers are the service's own processes on a Redis server of their own; this program replaces the analyze stage
and reads every published frame. Prints JSON: whether the frames are the same, byte for byte, and
the seconds from the request to the last part. Compare the ratios, up to the number of cores.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from facecore.video.images import encode
from schemas.envelope import open_entry
from schemas.messages import FrameTask, StoredFrame
from schemas.names import Names
from tests.bench.decoding import everything
from tests.bench.measure import machine, report
from tests.consumers.runtime.servers import Server, binary
from tests.facecore.video.films import loop_film
from tests.inputs import video_file

NAMES = Names("faces")
TIMEOUT_SECONDS = 3600.0
JPEG_QUALITY = 95


@contextmanager
def workers(count: int, server: Server, film: Path, part: float) -> Iterator[None]:
    """Starts so many frames workers, one part of a film each, without back-pressure."""
    unlimited = str(10**9)
    environment = {
        "REDIS_URL": server.url, "FACES_MEDIA_ROOTS": str(film.parent), "FACES_SEGMENT_SECONDS": str(part),
        "FACES_JOBS_PER_WORKER": "1", "FACES_JOB_WINDOW": unlimited, "FACES_FRAMES_HIGH_WATER": unlimited,
        "FACES_JOB_WINDOW_BYTES": unlimited, "LOG_LEVEL": "WARNING", "FACES_FRAME_QUALITY": str(JPEG_QUALITY),
    }  # fmt: skip
    command = [sys.executable, "-m", "consumers", "frames"]
    processes = [subprocess.Popen(command, env=os.environ | environment) for _ in range(count)]
    try:
        with Redis.from_url(server.url) as redis:
            wait(lambda: readers(redis) == count)  # the clock does not run yet
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def readers(redis: "Redis") -> int:
    try:
        return len(cast("list[Any]", redis.xinfo_consumers(NAMES.segments, "frames")))
    except ResponseError:
        return 0  # nobody has made the group yet


def sampled(server: Server, film: Path, interval: float) -> tuple[float, list[tuple[int, float, str]]]:
    """Returns seconds, and number, timestamp and picture hash of every frame."""
    request = {"video_path": str(film), "parameters": {"sampling_interval": interval, "cache_duration": 0}}
    with Redis.from_url(server.url) as redis:
        began = time.perf_counter()
        redis.xadd(NAMES.requests, {"json": msgspec.json.encode(request)})
        wait(lambda: redis.xlen(NAMES.requests) == 0 == redis.xlen(NAMES.segments))
        took = time.perf_counter() - began
        return took, sorted(published(redis))


def published(redis: "Redis") -> Iterator[tuple[int, float, str]]:
    for stream in (NAMES.frames, NAMES.express, NAMES.urgent):
        for _, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(stream)):
            envelope = open_entry(fields, {"frame": FrameTask})
            task = cast("FrameTask", envelope.body)
            assert isinstance(task.frame, StoredFrame)
            picture = cast("bytes", redis.hget(NAMES.job(envelope.job).frames, task.frame.name))
            yield task.index, task.timestamp, hashlib.sha256(picture).hexdigest()


def decoded(film: Path, interval: float) -> tuple[float, list[tuple[int, float, str]]]:
    """Returns the same from one process that decodes every frame."""
    began = time.perf_counter()
    frames = [
        (number, number * interval, hashlib.sha256(encode(image, JPEG_QUALITY)).hexdigest())
        for number, image in enumerate(everything(film, interval, 1))
    ]
    return time.perf_counter() - began, frames


def wait(done: Any) -> None:
    until = time.monotonic() + TIMEOUT_SECONDS
    while not done():
        assert time.monotonic() < until, f"not within {TIMEOUT_SECONDS} s"
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--interval", type=float, default=2.0)
    parser.add_argument("--part", type=float, default=120.0, help="seconds of a part")
    given = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder).resolve() / f"film{given.video.suffix}"
        loop_film(given.video, film, seconds=60 * given.minutes)
        plain, truth = decoded(film, given.interval)
        rows = [{"way": "everything, one process", "seconds": round(plain, 1), "frames": len(truth)}]
        same = True
        for count in (1, 2, 4):
            server = Server(binary("valkey", Path(folder)), Path(folder) / f"server-{count}")
            server.start()
            try:
                with workers(count, server, film, given.part):
                    took, frames = sampled(server, film, given.interval)
            finally:
                server.stop()
            same = same and frames == truth
            rows.append(
                {
                    "way": f"{count} frames workers", "seconds": round(took, 1), "ratio": round(plain / took, 2),
                    "frames": len(frames), "same": frames == truth,
                }
            )  # fmt: skip
    report({"film": given.video.name, "minutes": given.minutes, "ways": rows}, where)
    return not same


if __name__ == "__main__":
    sys.exit(main())
