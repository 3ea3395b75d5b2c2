"""A Redis server in trouble: 503 with Retry-After and the reason, /ready 503, and everything works afterwards."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from structlog.testing import capture_logs

from schemas.store.server_errors import unavailable_reason
from tests.api.conftest import Client, Start
from tests.waiting import eventually_async

REQUEST = {"video_path": "/1.mp4"}


@pytest.fixture
async def administrator(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as client:
        yield client
        await client.config_set("maxmemory", 0)
        await client.replicaof("NO", "ONE")


async def refused(api: Client, reason: str) -> None:
    """Checks that changes and the readiness probe are answered 503 with this reason, without a traceback."""
    with capture_logs() as logs:
        for answer in (
            await api.post("/faces/analyze", json=REQUEST),
            await api.post("/faces/analyze", json=REQUEST, headers={"Idempotency-Key": "k"}),
            await api.get("/faces/ready"),
        ):
            problem = await answer.json(content_type="application/problem+json")
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
            assert reason in problem["detail"], problem
    assert [entry for entry in logs if "exc_info" in entry] == []
    assert (await api.get("/faces/live")).status == 200


async def recovered(api: Client) -> None:
    assert (await api.get("/faces/ready")).status == 200
    assert (await api.post("/faces/analyze", json=REQUEST)).status == 202


async def test_full_memory_is_503_with_the_reason(start: Start, administrator: Redis) -> None:
    api = await start()
    await administrator.config_set("maxmemory", "1")
    await refused(api, "memory limit (maxmemory)")
    assert (await api.get("/faces/jobs")).status == 200, "what only reads is served"
    await administrator.config_set("maxmemory", "0")
    await recovered(api)


async def test_a_replica_is_503_with_the_reason(start: Start, administrator: Redis) -> None:
    api = await start()
    await administrator.replicaof("127.0.0.1", 1)
    await refused(api, "a replica")
    await administrator.replicaof("NO", "ONE")
    await recovered(api)


async def test_a_script_at_length_is_503_with_the_reason(start: Start, valkey: str) -> None:
    api = await start()
    async with Redis.from_url(valkey) as blocker, Redis.from_url(valkey) as administrator:
        await administrator.config_set("busy-reply-threshold", 20)
        running = asyncio.create_task(blocker.eval("while true do end", 0))

        async def busy() -> bool:
            try:
                await administrator.ping()
            except ResponseError as error:
                return "BUSY" in str(error)
            return False

        await eventually_async(busy)
        try:
            await refused(api, "busy with a script")
        finally:
            await administrator.script_kill()
            with pytest.raises(RedisError):
                await running
            await administrator.config_set("busy-reply-threshold", 5000)
    await recovered(api)


@pytest.mark.parametrize("code", ["OOM", "MISCONF", "BUSY", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS",
                                  "CLUSTERDOWN", "TRYAGAIN", "NOGROUP"])  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        "{} the reason",
        "ERR Error running script (call to f_1): @user_script:12: -{} the reason",
        "Command # 1 (SET a secret) of pipeline caused error: ('{} the reason',)",
    ],
)
def test_every_trouble_has_its_own_sentence(code: str, text: str) -> None:
    reason = unavailable_reason(ResponseError(text.format(code)))
    assert reason is not None and "cannot be reached" not in reason and "secret" not in reason


def test_another_error_is_no_trouble() -> None:
    assert unavailable_reason(ResponseError("WRONGTYPE OOM MISCONF")) is None
