"""Messages that no stage of ours has sent: they decide nothing but the end of a running job."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.stages.admission import AdmissionStage
from consumers.stages.finalize import FinalizeStage
from consumers.stages.joins import JoinsStage
from schemas.envelope import seal
from schemas.messages import FinalizeTask, JoinTask, PreviewTask
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store import dead_letters
from schemas.store.fair_queue import length
from schemas.store.jobs import Jobs
from tests.waiting import eventually_async

REQUEST = AnalyzeRequest(video_path="/v.mp4")


@pytest.fixture
async def service(valkey: str) -> AsyncIterator[Service]:
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions, settings = Partitions(), Settings.from_env({"REDIS_URL": valkey})
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as workers:
            for stage in (FinalizeStage(service), JoinsStage(service), AdmissionStage(service, "high")):
                workers.create_task(Worker(valkey, stage, consumer=stage.name, lease=5.0).run(stop))
            yield service
            stop.set()


async def handled(service: Service, stream: str, *messages: dict[bytes, bytes]) -> None:
    """Publishes messages, and waits until they have been handled."""
    for message in messages:
        fields: Any = message
        await service.redis.xadd(stream, fields)

    async def nothing_is_left() -> bool:
        return not await service.redis.xlen(stream)

    await eventually_async(nothing_is_left)


def finalize_messages(job_id: str) -> list[dict[bytes, bytes]]:
    tasks = [FinalizeTask(error="forged"), FinalizeTask(), FinalizeTask(matches=((),))]
    return [seal("finalize", job_id, "", task) for task in tasks] + [
        seal("preview", job_id, "", PreviewTask())
    ]


async def test_no_message_ends_or_makes_a_job_that_does_not_exist(service: Service) -> None:
    names = service.names
    await handled(service, names.finalize, *finalize_messages("nobody"))
    task = JoinTask(cache_key="k", keep=60.0, asked_by="1-1")
    await handled(service, names.joins, seal("join", "nobody", "", task))
    assert await service.redis.keys("faces-service:job:*") == [] == await service.redis.keys("faces:cache:*")
    assert await service.redis.exists(names.events, names.webhooks, names.jobs, names.dead) == 0


async def test_no_message_changes_a_job_that_has_ended(service: Service) -> None:
    names = service.names
    await service.jobs.submit(REQUEST, "job")
    await service.jobs.fail("job", "broken")
    record = await service.redis.hgetall(names.job("job").metadata)
    await handled(service, names.finalize, *finalize_messages("job"))
    task = JoinTask(cache_key="k", keep=60.0, asked_by="1-1")
    await handled(service, names.joins, seal("join", "job", "", task))
    after = await service.redis.hgetall(names.job("job").metadata)
    assert {k: v for k, v in after.items() if k != b"join"} == record
    assert await service.redis.xlen(names.events) == 1
    assert await service.redis.keys("faces:cache:*") == []


async def test_a_publisher_cannot_fail_the_job_of_another(service: Service) -> None:
    """An entry that no attempt can handle names the job; attempts are used up already."""
    await service.jobs.submit(REQUEST, "victim")
    deep: Any = 1
    for _ in range(800):
        deep = [deep]
    body = {"video_path": "/v.mp4", "parameters": {"min_quality": deep, "face_min_quality": deep}}
    poison = {"id": "x", "job": "victim", "type": "analyze", "attempt": 1_000_000, "body": body}
    large = {"video_path": "/v.mp4", "job_id": "victim", "source_id": "x" * service.settings.max_body_bytes}
    entries = [{b"json": msgspec.json.encode(request)} for request in (poison, large)]
    await handled(service, service.names.requests_of("high"), *entries)
    await handled(service, service.names.finalize)
    record = await service.redis.hmget(service.names.job("victim").metadata, ["status", "ended"])
    assert record == [b"queued", None]
    assert await service.redis.xlen(service.names.dead) == 2


async def test_a_published_request_gets_the_priority_of_its_stream_unless_it_states_one(
    service: Service,
) -> None:
    names = service.names
    stated: dict[str, Any] = {"video_path": "/v.mp4", "job_id": "stated", "priority": "low"}
    plain: dict[str, Any] = {"video_path": "/v.mp4", "job_id": "plain"}
    entries = [{b"json": msgspec.json.encode(request)} for request in (stated, plain)]
    await handled(service, names.requests_of("high"), *entries)
    for priority, job in (("low", b"stated"), ("high", b"plain")):
        (entry,) = await service.redis.xrange(names.accepted_of(priority))  # type: ignore[arg-type]
        assert job in entry[1][b"msgpack"]


async def test_a_job_that_the_api_of_an_earlier_version_has_accepted_is_passed_on(service: Service) -> None:
    message = seal("analyze", "job", "submitted", REQUEST)
    await handled(service, service.names.requests_of("high"), message)
    assert await service.redis.xlen(service.names.accepted_of("high")) == 1
    assert not await service.jobs.begin("job", REQUEST), "without its record it is not started"


@pytest.mark.parametrize(
    ("stream", "job", "outcomes"),
    [
        ("faces-service:events", "", ""),
        ("faces-service:frames", "a", "faces-service:keys"),
        ("faces-service:frames", "a", "faces-service:job:b:outcomes"),
    ],
)
async def test_replaying_a_forged_letter_changes_no_other_keys(
    service: Service, stream: str, job: str, outcomes: str
) -> None:
    """A worker may write dead letters, and an operator, who replays them, may write more than the worker."""
    redis, names = service.redis, service.names
    await redis.hset("faces-service:keys", "admin", "{}")
    letter: dict[Any, Any] = {
        "stage": "frames", "stream": stream, "job": job, "type": "frame", "reason": "r", "error": "", "text": "",
        "trace": "", "attempts": 1, "deliveries": 1, "first": 1.0, "last": 1.0, "worker": "w", "replays": 0,
        "traceparent": "", "body": b"{}", "body_field": "json", "headers": msgspec.msgpack.encode({}),
        "message": b"", "record": "faces-service:job:a:metadata" if outcomes else "", "outcomes": outcomes,
    }  # fmt: skip
    if outcomes:
        letter["unit"] = "admin"
    await redis.xadd(names.dead, letter)
    await redis.hset("faces-service:job:a:metadata", "status", "processing")
    (forged,) = await dead_letters.listed(redis, names.dead)
    assert await dead_letters.replay(redis, names.dead, forged, service.jobs) == "ended"
    assert await redis.hget("faces-service:keys", "admin") == b"{}"
    assert await redis.xlen(names.events) == 0 and await redis.xlen(names.dead) == 1


async def test_a_publisher_that_ruins_its_stream_hurts_no_accepted_job(service: Service) -> None:
    """XADD with MAXLEN and with the highest id, which no ACL can forbid; the runbook says how to go on."""
    redis, stream = service.redis, service.names.requests_of("high")
    await service.jobs.submit(msgspec.structs.replace(REQUEST, priority="high"), "accepted")
    await redis.xadd(
        stream, {"json": b"no"}, id=f"{(1 << 64) - 1}-{(1 << 64) - 1}", maxlen=0, approximate=False
    )
    await handled(service, stream)
    with pytest.raises(ResponseError):
        await redis.xadd(stream, {"json": b"no"})
    await service.jobs.submit(msgspec.structs.replace(REQUEST, priority="high"), "another")
    assert await length(redis, service.names.accepted_of("high")) == 2
    await redis.delete(stream)
    await handled(service, stream, {b"json": b'{"video_path": "/v.mp4", "job_id": "published"}'})
    assert await length(redis, service.names.accepted_of("high")) == 3
