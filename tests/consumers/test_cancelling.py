"""Cancelling a job stops the work that is under way, wherever it is; nothing is written after that."""

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

from consumers.threads import in_thread
from facecore.people import gather
from facecore.stopping import STOP, Stopped, stoppable
from facecore.video import Interval, open_source, probe
from facecore.video.keyframes import keyframe_times
from tests.consumers.cancelling import CASES, make_film, running_world
from tests.facecore.faces import face, frame, person
from tests.facecore.video.clips import make_clip

PIXELS = 10_000_000


async def test_cancelling_stops_downloading_decoding_waiting_and_enhancing(
    valkey: str, tmp_path: Path
) -> None:
    make_film(tmp_path / "film.avi")
    async with running_world(valkey, tmp_path.resolve()) as world:
        for case in CASES:
            await world.stopped(case)
        redis, names = world.service.redis, world.service.names
        jobs = [key.decode().split(":")[2] for key in await redis.keys("faces-service:job:*:metadata")]
        assert len(jobs) == len(CASES)
        for job_id in jobs:
            assert await world.service.jobs.delete(job_id)
        frames = [await redis.xlen(stream) for stream in (names.frames, names.express)]
        left = await redis.keys("faces-service:job:*")
    assert [await redis.xlen(stream) for stream in (names.frames, names.express)] == frames
    assert await redis.keys("faces-service:job:*") == left
    assert await redis.xlen(names.events) == len(CASES)


async def test_a_cancelled_call_is_stopped_and_waited_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        try:
            for _ in stoppable(itertools.count()):
                begun.set()
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        for times in (1, 2):
            begun.clear()
            ended.clear()
            task = asyncio.create_task(in_thread(pool, work))
            await asyncio.to_thread(begun.wait)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended.is_set()
        assert await in_thread(pool, sum, [1, 2]) == 3


async def test_a_call_that_is_cancelled_before_its_turn_is_not_made() -> None:
    turn, calls = threading.Event(), list[int]()
    with ThreadPoolExecutor(1) as pool:
        first = asyncio.create_task(in_thread(pool, turn.wait))
        second = asyncio.create_task(in_thread(pool, calls.append, 1))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        turn.set()
        await first
    assert not calls


def test_grouping_faces_stops_between_two_steps() -> None:
    frames = [frame(number, [face(person(0, 0.2, number))]) for number in range(6)]
    stop = threading.Event()
    stop.set()
    context = copy_context()
    context.run(STOP.set, stop)
    with pytest.raises(Stopped):
        context.run(
            gather,
            frames,
            threshold=0.6,
            deduplicate=True,
            sampling_interval=1.0,
            min_quality=0.0,
            max_faces=9,
        )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_reading_and_decoding_stop_between_packets(tmp_path: Path, suffix: str) -> None:
    film = tmp_path / f"film.{suffix}"
    make_clip(film, range(200), gop=200)
    samples = open_source(film, Interval(1.0), max_pixels=PIXELS)
    assert next(samples).index == 0
    decoded = samples.tally.decoded
    stop = threading.Event()
    stop.set()
    context = copy_context()
    context.run(STOP.set, stop)
    with pytest.raises(Stopped):
        for _ in range(8):
            context.run(next, samples)
    assert samples.tally.decoded <= decoded + 1
    samples.close()
    if suffix != "avi":  # no packet of it is read without decoding it
        with pytest.raises(Stopped):
            context.run(keyframe_times, film, max_pixels=PIXELS)
    with pytest.raises(Stopped):
        context.run(probe, film, max_pixels=PIXELS)
