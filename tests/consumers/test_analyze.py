"""The analyze stage: pictures that unpack to much memory are decoded a few at a time, beside those with faces."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from redis.asyncio import Redis

from consumers.inference import InferenceThread
from consumers.outcomes import FrameOutcome, decode_outcome
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from consumers.stages.analyze import AnalyzeStage
from schemas.envelope import Envelope
from schemas.messages import FrameTask
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.facecore.video import bombs

MEMORY_BYTES = 768 << 20


@pytest.fixture
async def stage(valkey: str, models_path: Path) -> AsyncIterator[tuple[Service, AnalyzeStage]]:
    settings = Settings.from_env(
        {
            "REDIS_URL": valkey,
            "INSIGHTFACE_MODELS_CACHE": str(models_path),
            "FACES_MAX_MEMORY": str(MEMORY_BYTES),
            "FACES_THREADS": "2",
        }
    )
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions = Partitions()
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        inference = InferenceThread(settings)
        stage = AnalyzeStage(service, inference)
        await stage.start()
        yield service, stage
        await stage.stop()
        inference.close()


async def analysed(service: Service, stage: AnalyzeStage, pictures: list[bytes]) -> list[FrameOutcome]:
    """The outcomes of a batch of pictures of one job."""

    async def publish(*_: object) -> None:
        raise AssertionError("the stage publishes with its completions")

    await service.jobs.submit(AnalyzeRequest(video_path="/media/album"), "job")
    store = FrameStore(service.redis, service.names, ttl=60)
    batch: list[Delivery[FrameTask]] = []
    for index, picture in enumerate(pictures):
        frame = await store.put("job", "", str(index), picture)
        task = FrameTask(index=index, timestamp=float(index), frame=frame, source="/media/album")
        envelope = Envelope(id=f"job/{index}", job="job", type="frame", body=task)
        batch.append(Delivery(f"{index}-0", envelope, 1, publish))
    outcomes = []
    for completion in await stage.handle(batch):
        assert isinstance(completion, Completion) and not any(
            isinstance(p, Outgoing) for p in completion.publish
        )
        assert completion.outcome is not None
        outcomes.append(decode_outcome(completion.outcome))
    return outcomes


async def test_an_album_of_bombs_is_decoded_within_the_memory_of_the_worker(
    stage: tuple[Service, AnalyzeStage], group_photograph: Path
) -> None:
    bomb = cv2.imencode(".png", np.zeros((6000, 6000, 3), np.uint8))[1].tobytes()
    photograph = group_photograph.read_bytes()
    pictures = [bomb] * 7 + [bombs.png(9_000), bombs.progressive_jpeg(1000, 3000), photograph, b""]
    await analysed(*stage, [photograph])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak (proc(5))
    before = status("VmRSS")
    outcomes = await analysed(*stage, pictures)
    assert [outcome.state for outcome in outcomes] == [
        *["analysed"] * 7,
        "failed",
        "failed",
        "analysed",
        "failed",
    ]
    assert "a third of FACES_MAX_MEMORY" in outcomes[7].reason and "3000 scans" in outcomes[8].reason
    assert len(bomb) < 150_000 and status("VmHWM") - before < MEMORY_BYTES
    service, _ = stage
    assert b"9" in await service.redis.hkeys(service.names.job("job").faces)


def status(field: str) -> int:
    """Bytes of memory that this process holds, or has held at once."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10
