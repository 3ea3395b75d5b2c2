"""The frames stage: hostile pictures are refused with the bound that they exceed; jobs beside them are sampled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from redis.asyncio import Redis

from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.sources.memory_budget import MemoryBudget
from consumers.stages.finalize import FinalizeStage
from consumers.stages.frames import FramesStage
from consumers.stages.joins import JoinsStage
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, Parameters
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.facecore.video import bombs
from tests.facecore.video.clips import make_clip
from tests.waiting import eventually_async

MEMORY_BYTES = 1 << 30


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media").resolve()
    make_clip(root / "film.mp4", range(50))
    (root / "large.png").write_bytes(bombs.png(9_000))
    (root / "scans.jpg").write_bytes(bombs.progressive_jpeg(1000, 3000))
    (root / "grid.bmp").write_bytes(cv2.imencode(".bmp", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes())
    cues = []
    for number in range(60):
        (root / f"grid-{number}.bmp").symlink_to(root / "grid.bmp")
        cues.append(f"00:00.000 --> 00:01.000\ngrid-{number}.bmp#xywh=0,0,160,90\n\n")
    (root / "grids.vtt").write_text("WEBVTT\n\n" + "".join(cues))
    (root / "album").mkdir()
    (root / "album" / "a.jpg").write_bytes(bombs.progressive_jpeg(64, 10))
    (root / "album" / "b.jpg").symlink_to("b.jpg")
    return root


@pytest.fixture
async def service(valkey: str, media: Path) -> AsyncIterator[Service]:
    settings = Settings.from_env(
        {"REDIS_URL": valkey, "FACES_MEDIA_ROOTS": str(media), "FACES_MAX_MEMORY": str(64 << 30)}
    )
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions = Partitions()
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        frames = FramesStage(service, MemoryBudget(MEMORY_BYTES))
        await frames.start()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as workers:
            for stage in (frames, FinalizeStage(service), JoinsStage(service)):
                workers.create_task(Worker(valkey, stage, consumer=stage.name, lease=5.0).run(stop))
            yield service
            stop.set()
        await frames.stop()


async def field(service: Service, job_id: str, name: str) -> str:
    """A field of a job's record, once it is there."""

    async def is_there() -> bool:
        return bool(await service.redis.hexists(service.names.job(job_id).metadata, name))

    await eventually_async(is_there)
    return (await service.redis.hget(service.names.job(job_id).metadata, name) or b"").decode()


async def test_pictures_that_take_too_much_are_refused_and_a_film_beside_them_is_sampled(
    service: Service, media: Path
) -> None:
    sprites = Parameters(use_sprites=True, sprite_vtt_url=str(media / "grids.vtt"))
    hostile = {
        "large": (AnalyzeRequest(video_path=str(media / "large.png")), "a third of FACES_MAX_MEMORY"),
        "scans": (AnalyzeRequest(video_path=str(media / "scans.jpg")), "3000 scans; at most 100"),
        "grids": (
            AnalyzeRequest(video_path=str(media / "film.mp4"), parameters=sprites),
            "larger than 64 MiB together",
        ),
    }
    for job_id, (request, _) in hostile.items():
        await service.jobs.submit(request, job_id)
    await service.jobs.submit(AnalyzeRequest(video_path=str(media / "film.mp4")), "film")
    for job_id, (_, reason) in hostile.items():
        assert reason in await field(service, job_id, "error")
    assert int(await field(service, "film", "units")) == 1


async def test_a_link_to_itself_costs_one_picture_of_an_album_and_is_named_in_the_result(
    service: Service, media: Path
) -> None:
    await service.jobs.submit(AnalyzeRequest(video_path=str(media / "album")), "album")
    assert int(await field(service, "album", "units")) == 2
    assert f"Picture 1: {media}/album/b.jpg cannot be" in await field(service, "album", "warnings")
