"""A result is built from the frames of one source, whatever happens to the file between two attempts."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace as replaced
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import msgspec
import numpy as np
import pytest
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.stage import Completion, Delivery, LeaseLost, NotReady, Outgoing
from consumers.service import Service
from consumers.sources.memory_budget import MemoryBudget
from consumers.stages.frames import FramesStage
from consumers.stages.segments import SegmentsStage
from schemas.envelope import open_entry
from schemas.messages import FinalizeTask
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, Parameters
from schemas.settings import Settings
from schemas.store import lua
from schemas.store.fair_queue import length, waiting
from schemas.store.jobs import Jobs
from schemas.store.run_data import HashFields

GROUP, SECONDS = "frames", 30


def make_film(path: Path, brightness: int, seconds: int = SECONDS) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=Fraction(5))
        stream.width, stream.height = 64, 48
        for _ in range(seconds * 5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), brightness, np.uint8), "rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


@pytest.fixture
async def service(valkey: str, tmp_path: Path) -> AsyncIterator[Service]:
    settings = Settings.from_env(
        {"REDIS_URL": valkey, "FACES_MEDIA_ROOTS": str(tmp_path.resolve()), "FACES_SEGMENT_SECONDS": "60"}
    )
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions = Partitions()
        yield Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)


async def attempt(
    service: Service, *, dies_after: int, stage_type: type[FramesStage] | type[SegmentsStage] = FramesStage
) -> Completion | Exception:
    """The next attempt at the first message of a stage; its worker loses it after so many calls that publish."""
    is_frames = stage_type is FramesStage
    stage: Any = FramesStage(service, MemoryBudget(1 << 30)) if is_frames else SegmentsStage(service)
    redis, owner = service.redis, scripts.Owner(stage.stream, GROUP, "worker")
    if not await redis.xinfo_groups(stage.stream):
        await redis.xgroup_create(stage.stream, GROUP, "0")
    ((entry, fields), *_) = cast("list[Any]", await redis.xrange(stage.stream))
    if not (await redis.xpending_range(stage.stream, GROUP, "-", "+", 1)):
        await redis.xreadgroup(GROUP, "worker", {stage.stream: ">"}, count=1)
    calls = 0

    async def publish(
        entry_id: str,
        messages: Sequence[Outgoing],
        record: str | None,
        run: str,
        noted: Mapping[str, str | int],
        hashes: Sequence[HashFields],
    ) -> bool:
        nonlocal calls
        calls += 1
        if calls > dies_after:
            raise LeaseLost(entry_id)
        reply = await lua.run(redis, scripts.publish(owner, entry_id, messages, record, run, noted, hashes))
        return bool(reply == scripts.DONE)

    await stage.start()
    try:
        envelope = stage.decode(entry.decode(), fields)
        (completion,) = await stage.handle([Delivery(entry.decode(), envelope, 1, publish, fields)])
        return cast("Completion", completion)
    except LeaseLost as error:
        return error
    finally:
        await stage.stop()


def replace(film: Path, seconds: int = SECONDS) -> None:
    """Puts another film in its place, with the same modification time."""
    status = film.stat()
    make_film(film, 200, seconds)
    os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))


def error_of(completion: Completion | Exception) -> str | None:
    assert isinstance(completion, Completion)
    (message,) = completion.publish
    return cast("str | None", open_entry(message.fields, {"finalize": FinalizeTask}).body.error)


@pytest.mark.parametrize("dies_after", [1, 3])
async def test_a_file_that_is_replaced_between_two_attempts_fails_the_job_even_with_the_same_time(
    service: Service, tmp_path: Path, dies_after: int
) -> None:
    film = tmp_path.resolve() / "film.mp4"
    make_film(film, 40)
    request = AnalyzeRequest(
        video_path=str(film), parameters=Parameters(sampling_interval=0.5, cache_duration=0)
    )
    await service.jobs.submit(request, "job")
    assert isinstance(await attempt(service, dies_after=dies_after), LeaseLost)
    replace(film)
    completion = await attempt(service, dies_after=1000)
    assert error_of(completion) == f"{film} was changed while it was being analysed. Submit the job again."
    published = sum([await length(service.redis, s) for s in (service.names.frames, service.names.express)])
    assert await service.redis.hlen(service.names.job("job").frames) == published, "of the first attempt"


async def test_a_job_gives_way_to_one_of_another_caller_and_goes_on_where_it_stopped(
    service: Service, tmp_path: Path
) -> None:
    film = tmp_path.resolve() / "film.mp4"
    make_film(film, 40)
    service = replaced(service, settings=msgspec.structs.replace(service.settings, job_window=8))
    names, parameters = service.names, Parameters(sampling_interval=0.5, cache_duration=0)
    request = AnalyzeRequest(video_path=str(film), parameters=parameters, tenant="busy")
    await service.jobs.submit(request, "job")
    await service.jobs.submit(msgspec.structs.replace(request, tenant="other"), "another")
    with pytest.raises(NotReady, match="another caller"):
        await attempt(service, dies_after=1000)
    streams = (names.frames, names.express)
    published = [await length(service.redis, stream) for stream in streams]
    assert 8 <= sum(published) < 60, "a window of frames"
    await service.redis.delete(waiting(names.accepted))  # the other job has begun
    service = replaced(service, settings=msgspec.structs.replace(service.settings, job_window=100))
    completion = await attempt(service, dies_after=1000)
    assert isinstance(completion, Completion) and completion.units == 60
    assert sum([await length(service.redis, stream) for stream in streams]) == 60, "none twice"


async def test_the_parts_of_a_long_film_are_of_one_film(service: Service, tmp_path: Path) -> None:
    film = tmp_path.resolve() / "film.mp4"
    make_film(film, 40, 180)
    parameters = Parameters(sampling_interval=10.0, cache_duration=0)
    await service.jobs.submit(AnalyzeRequest(video_path=str(film), parameters=parameters), "job")
    assert await attempt(service, dies_after=1000) == Completion(), "the film is divided"
    part = await attempt(service, dies_after=1000, stage_type=SegmentsStage)
    assert isinstance(part, Completion) and part.units
    replace(film, 180)
    again = await attempt(service, dies_after=1000, stage_type=SegmentsStage)
    assert error_of(again) == f"{film} was changed while it was being analysed. Submit the job again."


async def test_a_sprite_that_is_replaced_between_two_attempts_fails_the_job(
    service: Service, tmp_path: Path
) -> None:
    folder = tmp_path.resolve()
    cues = [f"00:{n:02}.000 --> 00:{n + 1:02}.000\ngrid.png#xywh={n * 160},0,160,90\n" for n in range(8)]
    (folder / "map.vtt").write_text("WEBVTT\n\n" + "\n".join(cues))
    cv2.imwrite(str(folder / "grid.png"), np.full((90, 1280, 3), 40, np.uint8))
    parameters = Parameters(use_sprites=True, sprite_vtt_url=str(folder / "map.vtt"), cache_duration=0)
    await service.jobs.submit(AnalyzeRequest(video_path="/film.mp4", parameters=parameters), "job")
    assert isinstance(await attempt(service, dies_after=3), LeaseLost)
    cv2.imwrite(str(folder / "grid.png"), np.full((90, 1280, 3), 200, np.uint8))
    assert "was changed" in (error_of(await attempt(service, dies_after=1000)) or "")
