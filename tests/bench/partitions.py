"""Measures what frames cost the servers of a cluster of one node and of three, frame store included.

    python -m tests.bench.partitions [--frames 3000] [--partitions 5] [--kilobytes 60]

The way of a frame through the streams as in the service, without decoding and models: published with its picture
while the window of its job has room, read with it, faces stored, completed. Jobs are spread over the partitions by
their ids.

`servers_ms_a_frame` is the processor time of each server, less what it uses while nothing is sent, and
`frames_a_second` what the busiest one has the time for: a server runs its commands on one thread. Elapsed time shows
nothing here: on few cores, the servers and the workers of all partitions share what one node has alone.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import structlog
from redis import Redis as BlockingRedis

from consumers.base_stage import BaseStage, OneByOneStage
from consumers.job_watch import JobWatch
from consumers.known_pictures import KnownPictures
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.publishing import FramePublisher, SampleCounter
from consumers.runtime.stage import Completion, Delivery
from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from consumers.sources.frames import FRAMES_PER_CHUNK, Frame
from consumers.stored_frames import SeenFrame, read_stored, store_seen
from schemas.envelope import Envelope
from schemas.messages import FrameTask
from schemas.metadata import Film
from schemas.names import Partitions
from schemas.observations import FrameFaces, Provenance
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs
from tests.bench.measure import machine, report
from tests.consumers.runtime.servers import Cluster, binary

JOBS_PER_PARTITION = 4
IDLE_SECONDS = 3.0
SETTINGS = {"FACES_MAX_QUEUED_JOBS": "100000"}
SEEN = Provenance(
    pack="none", detector="none", embedder="none", providers=(), sharpness="sobel", occlusion=None, min_confidence=0.5
)  # fmt: skip


class Pictures:
    """Source of as many frames as are asked for, all of them one picture."""

    method, film, warnings = "bench", Film(), list[str]()

    def __init__(self, frames: int, picture: bytes) -> None:
        self.expected, self._sent, self._picture = frames, 0, picture

    async def next_chunk(self) -> list[Frame]:
        """Returns the next frames; empty at the end."""
        first, self._sent = self._sent, min(self.expected, self._sent + FRAMES_PER_CHUNK)
        return [Frame(number, float(number), self._picture) for number in range(first, self._sent)]


class Sampling(OneByOneStage[AnalyzeRequest]):
    """Publishes the frames of jobs as the frames stage does."""

    concurrency = 4

    def __init__(self, service: Service, frames: int, picture: bytes) -> None:
        super().__init__(service, "frames")
        self._frames, self._picture = frames, picture
        self._publisher = FramePublisher(service, JobWatch(service.redis, service.names), self.stream)

    async def _handle_one(self, delivery: Delivery[AnalyzeRequest]) -> Completion:
        envelope, window = delivery.envelope, self._service.settings.job_window
        assert await self._service.jobs.begin(envelope.job, envelope.body, envelope.run)
        source, counter = (
            Pictures(self._frames, self._picture),
            SampleCounter("sampled", ("sampled",), 0, window),
        )
        number = await self._publisher.publish(delivery, envelope.body, source, counter, 0)
        return Completion(fan_in=self._service.fan_in(envelope), units=number)

    def on_dead_letter(self, envelope: Envelope[AnalyzeRequest], reason: str) -> Completion:
        raise AssertionError(reason)


class Looking(BaseStage[FrameTask]):
    """Reads and stores as the analyze stage does, and sees no face."""

    batch_size, concurrency, linger = 8, 2, 0.005

    def __init__(self, service: Service, lane: str) -> None:
        super().__init__(service, "analyze", lane)
        self._store = FrameStore(service.redis, service.names, ttl=service.settings.frame_ttl)
        self._known = KnownPictures(service)

    async def handle(self, batch: Sequence[Delivery[FrameTask]]) -> Sequence[Completion | Exception]:
        """Completes frames."""
        stored = await read_stored(self._service, self._store, batch)
        assert all(frame.picture for frame in stored)
        await store_seen(self._service, self._store, self._known, [_seen(d.envelope) for d in batch])
        outcome = encode_outcome(FrameOutcome("analysed"))
        return [
            Completion(self._service.fan_in(d.envelope), str(d.envelope.body.index), outcome) for d in batch
        ]

    def on_dead_letter(self, envelope: Envelope[FrameTask], reason: str) -> Completion:
        raise AssertionError(reason)


def _seen(envelope: Envelope[FrameTask]) -> SeenFrame:
    task = envelope.body
    faces = FrameFaces(
        index=task.index, timestamp=task.timestamp, width=1280, height=720, faces=(), detector_size=640,
        low_confidence=0, provenance=SEEN,
    )  # fmt: skip
    return SeenFrame(envelope, str(task.index), faces, {}, None)


def processor_ms(ports: Sequence[int]) -> list[float]:
    """Returns the processor milliseconds that each server has used."""
    used = []
    for port in ports:
        with BlockingRedis(port=port) as redis:
            pid = cast("Any", redis.info("server"))["process_id"]
            used.append(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6)
    return used


def rates(began: tuple[float, list[float]], ports: Sequence[int]) -> list[float]:
    """Returns the processor milliseconds a second that each server has used since then."""
    seconds = time.perf_counter() - began[0]
    return [(now - then) / seconds for now, then in zip(processor_ms(ports), began[1], strict=True)]


async def drain(cluster: Cluster, partitions: Partitions, frames: int, picture: bytes) -> dict[str, Any]:
    """Sends as many frames through the streams of all partitions, as many through each."""
    url = cluster.url
    settings, stop = Settings.from_env(SETTINGS), asyncio.Event()
    ids: dict[str, list[str]] = {names.prefix: [] for names in partitions.all}
    number = 0
    while any(len(some) < JOBS_PER_PARTITION for some in ids.values()):
        some = ids[partitions.of(f"job-{number}").prefix]
        some += [f"job-{number}"] if len(some) < JOBS_PER_PARTITION else []
        number += 1
    each = frames // (len(ids) * JOBS_PER_PARTITION)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(url))
        jobs = Jobs(redis, partitions, settings)
        stages: list[BaseStage[Any]] = []
        for names in partitions.all:
            service = Service(redis, names, settings, jobs, partitions)
            stages += [Sampling(service, each, picture), Looking(service, ""), Looking(service, "express")]
        workers = [asyncio.create_task(Worker(url, stage, consumer="bench").run(stop)) for stage in stages]
        await asyncio.sleep(IDLE_SECONDS)  # the workers have started
        began = time.perf_counter(), processor_ms(cluster.ports)
        await asyncio.sleep(IDLE_SECONDS)
        idle = rates(began, cluster.ports)
        began = time.perf_counter(), processor_ms(cluster.ports)
        for some in ids.values():
            for job_id in some:
                await jobs.submit(AnalyzeRequest(video_path="/bench.mp4"), job_id)
        outcomes = [names.job(job_id).outcomes for names in partitions.all for job_id in ids[names.prefix]]
        while sum([int(await redis.hlen(key)) for key in outcomes]) < each * len(outcomes):
            assert not any(worker.done() for worker in workers), [worker.exception() for worker in workers]
            await asyncio.sleep(0.1)
        seconds, total = time.perf_counter() - began[0], each * len(outcomes)
        used = [
            (rate - at_rest) * seconds
            for rate, at_rest in zip(rates(began, cluster.ports), idle, strict=True)
        ]
        stop.set()
        await asyncio.gather(*workers)
    return {
        "frames": total,
        "servers_ms_a_frame": [round(ms / total, 3) for ms in used],
        "servers_idle_ms_a_second": [round(rate, 1) for rate in idle],
        "frames_a_second": round(1000 * total / max(used)),
        "seconds": round(seconds, 1),
    }


def measure(nodes: int, partitions: Partitions, frames: int, picture: bytes, folder: Path) -> dict[str, Any]:
    cluster = Cluster(binary("cluster", folder), folder / f"nodes-{nodes}", nodes)
    cluster.start()
    try:
        return {"nodes": nodes, **asyncio.run(drain(cluster, partitions, frames, picture))}
    finally:
        cluster.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--partitions", type=int, default=5)
    parser.add_argument("--kilobytes", type=int, default=60)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    where, picture = machine(), os.urandom(1000 * given.kilobytes)
    partitions = Partitions("faces", given.partitions)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(nodes, partitions, given.frames, picture, Path(folder)) for nodes in (1, 3)]
    times = rows[1]["frames_a_second"] / rows[0]["frames_a_second"]
    report({"partitions": given.partitions, "clusters": rows, "times_one_node": round(times, 2)}, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
