"""A full disk under the append-only file of the embedded server, seen by the API and by a worker."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp.test_utils import TestClient, TestServer
from redis.asyncio import Redis

from api.app import create_app
from compose.server import embedded_server, wait_for_server
from compose.supervisor import Child, Supervisor
from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.sources.memory_budget import MemoryBudget
from consumers.stages.frames import FramesStage
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs
from tests.api.conftest import Client
from tests.chaos.faults import fill, small_disk
from tests.facecore.video.clips import make_clip
from tests.waiting import eventually_async


class World(NamedTuple):
    api: Client
    redis: Redis
    service: Service
    server: Child
    disk: Path
    request: dict[str, object]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    film = tmp_path.resolve() / "film.mp4"
    make_clip(film, range(50))
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "data", mebibytes=16))
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        supervisor = Supervisor(io.StringIO())
        server, url = await stack.enter_async_context(embedded_server(disk))
        supervisor.start(server)
        stack.push_async_callback(supervisor.stop)
        await wait_for_server(url)
        settings = Settings.from_env({"REDIS_URL": url, "FACES_MEDIA_ROOTS": str(tmp_path.resolve())})
        api = await stack.enter_async_context(TestClient(TestServer(create_app(settings))))
        redis = await stack.enter_async_context(connect(url))
        partitions = Partitions()
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        stage = FramesStage(service, MemoryBudget(64 << 30))
        await stage.start()
        stack.push_async_callback(stage.stop)
        stop = asyncio.Event()
        working = asyncio.create_task(Worker(url, stage, consumer="frames", lease=5.0).run(stop))
        request = {"video_path": str(film), "parameters": {"cache_duration": 0}}
        yield World(api, redis, service, server, disk, request)
        stop.set()
        await working


async def test_work_waits_while_the_disk_is_full_and_nothing_that_was_accepted_is_lost(world: World) -> None:
    accepted: list[str] = []

    async def submitted(expected: int) -> bool:
        answer = await world.api.post("/faces/analyze", json=world.request)
        body = await answer.json(content_type=None)
        if answer.status == 202:
            accepted.append(body["job_id"])
        else:
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
        return answer.status == expected and (expected == 202 or "to disk" in body["detail"])

    async def sampled(jobs: list[str]) -> bool:
        keys = [world.service.names.job(job_id).metadata for job_id in jobs]
        return all([await world.redis.hexists(key, "units") for key in keys])

    assert await submitted(202)
    await eventually_async(lambda: sampled(accepted))
    filler = fill(world.disk)
    await eventually_async(lambda: submitted(503))
    assert (await world.api.get("/faces/ready")).status == 503
    filler.unlink()
    await eventually_async(lambda: submitted(202))
    assert (await world.api.get("/faces/ready")).status == 200
    await eventually_async(lambda: sampled(accepted))
    assert await world.redis.xlen(world.service.names.dead) == 0
    assert world.server.process is not None
    world.server.process.kill()
    await eventually_async(lambda: submitted(202))
    await eventually_async(lambda: sampled(accepted))
