"""Hosts whose clocks are wrong: the time of jobs, workers, searches and frames is that of the server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from consumers.deadlines import sweep
from consumers.job_result import read_frames
from consumers.service import Service
from consumers.sources.frame_store import SUFFIX, FrameStore
from schemas.envelope import Envelope, published_at, seal
from schemas.messages import SearchTask, StoredFrame, open_request
from schemas.questions import Probe
from schemas.requests import AnalyzeRequest
from schemas.store import queues, workers
from schemas.store.job_reader import JobReader
from schemas.store.replies import Replies

REQUEST = AnalyzeRequest(video_path="/v.mp4")
SHIFTS = (-25200.0, -15.0, 15.0, 25200.0)
"""Seconds that the clock of one of the hosts is wrong by; a job may take 21,600."""


@contextmanager
def wrong_clock(shift: float) -> Iterator[None]:
    """Sets the clock of this process."""
    right = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + shift)
        yield


@pytest.fixture(params=SHIFTS)
def shift(request: pytest.FixtureRequest) -> float:
    return cast("float", request.param)


@pytest.mark.parametrize("wrong", ["submits", "begins", "sweeps", "all"])
async def test_a_young_job_does_not_fail_at_its_deadline(service: Service, shift: float, wrong: str) -> None:
    def clock(host: str) -> float:
        return shift if wrong in (host, "all") else 0.0

    with wrong_clock(clock("submits")):
        before, submitted = time.time() - clock("submits"), await service.jobs.submit(REQUEST, "job")
    with wrong_clock(clock("sweeps")):
        await sweep(service)
    with wrong_clock(clock("begins")):
        assert await service.jobs.begin("job", REQUEST)
    with wrong_clock(clock("sweeps")):
        await sweep(service)
    state = await JobReader(service.redis, service.partitions).read("job")
    assert state is not None and state.status == "processing"
    assert state.created_at == submitted.created_at and before - 1 < state.created < before + 60
    with wrong_clock(clock("begins")):
        found = await read_frames(service, Envelope(id="", job="job", type="", body=None))
    assert found is not None and 0 <= time.monotonic() - found.began < 60


async def test_a_job_past_its_deadline_fails_whatever_the_clock_of_the_sweeper(
    service: Service, shift: float
) -> None:
    await service.jobs.submit(REQUEST, "job")
    await service.jobs.begin("job", REQUEST)
    await service.redis.zadd(service.names.active, {"job": time.time() * 1000 - 1})
    with wrong_clock(shift):
        await sweep(service)
    state = await JobReader(service.redis, service.partitions).read("job")
    assert state is not None and state.status == "failed"


async def test_a_deleted_job_starts_only_by_a_later_request(service: Service, shift: float) -> None:
    async def published() -> float:
        with wrong_clock(shift):  # the publisher's host
            fields = seal("analyze", "job", "", {"video_path": "/v.mp4"})
        entry_id = cast("bytes", await service.redis.xadd("requests", cast("Any", fields))).decode()
        return open_request(entry_id, fields).created

    earlier = await published()
    assert await service.jobs.accept(REQUEST, "job", earlier)
    with wrong_clock(shift):
        assert await service.jobs.cancel("job") and await service.jobs.delete("job")
    assert not await service.jobs.accept(REQUEST, "job", earlier)
    deleted = await published()
    while (later := await published()) < deleted + 0.01:  # ids of entries count whole milliseconds
        pass
    assert await service.jobs.accept(REQUEST, "job", later)


def test_the_time_in_the_envelope_of_another_service_counts_only_when_it_is_earlier() -> None:
    for created, expected in ((0.0, 100.0), (99.0, 99.0), (25300.0, 100.0)):
        envelope = Envelope(id="", job="", type="", body=None, created=created)
        assert published_at(envelope, "100000-0") == expected


async def test_a_worker_is_alive_whatever_its_clock(service: Service, shift: float) -> None:
    info = workers.WorkerInfo(stage="frames", consumer="frames-1")
    for announcing, asking in ((shift, 0.0), (0.0, shift)):
        with wrong_clock(announcing):
            await workers.announce(service.redis, service.names, info)
        with wrong_clock(asking):
            assert [w.consumer for w in await workers.alive(service.redis, service.names)] == ["frames-1"]


async def test_a_search_is_handled_as_long_as_its_caller_waits(service: Service, shift: float) -> None:
    replies, question = Replies(service.redis, service.names), "question"
    task = SearchTask(collection="c", question=question, limit=1, threshold=0.5)
    with wrong_clock(shift):
        await replies.search(task, Probe(photograph=b"jpeg"), 30.0, "")
    assert await replies.probe(question) is not None
    await replies.replace(question, Probe(embedding=b"e"))
    assert 0 < await service.redis.pttl(service.names.search(question)) <= 30_000
    await service.redis.delete(service.names.search(question))
    await replies.replace(question, Probe(embedding=b"e"))
    assert await replies.probe(question) is None


async def test_the_age_of_a_queue_is_that_of_its_first_entry(service: Service, shift: float) -> None:
    await service.jobs.submit(REQUEST, "job")
    with wrong_clock(shift):
        measured = await queues.measure(service.redis, service.partitions.all)
    assert max(queue.oldest_seconds for queue in measured) < 10


async def test_a_host_does_not_remove_young_frames_of_others(
    service: Service, shift: float, tmp_path: Path
) -> None:
    def store() -> FrameStore:
        return FrameStore(service.redis, service.names, ttl=3600, directory=tmp_path)

    frame = await store().put("job", "", "0", b"jpeg")
    with wrong_clock(shift):
        await store().put("job", "", "1", b"jpeg")  # looks for expired frames
    assert not isinstance(frame, StoredFrame) and Path(frame.path).exists()
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 2


def test_an_envelope_names_no_time_of_its_host() -> None:
    (encoded,) = seal("analyze", "job", "", {}).values()
    assert "created" not in msgspec.msgpack.decode(encoded)
