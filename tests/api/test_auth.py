"""API keys and scopes, the refusal to start open on a public address, idempotency keys."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from redis.asyncio import Redis

from api.app import create_app
from api.auth import NoKeys
from compose.server import free_port
from schemas.names import Names
from schemas.settings import Settings
from schemas.store.api_keys import ApiKeys
from tests.api.test_app import Client

REQUEST = {"video_path": "/1.mp4"}


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def guarded(valkey: str, redis: Redis) -> AsyncIterator[tuple[Client, ApiKeys]]:
    """An API that asks for keys; one key, `root`, is there."""
    keys = ApiKeys(redis, Names())
    assert await keys.create("root", ("admin",))
    settings = Settings.from_env({"REDIS_URL": valkey, "FACES_AUTH": "required"})
    async with TestClient(TestServer(create_app(settings))) as client:
        yield client, keys


@pytest.fixture
async def api(valkey: str, redis: Redis) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_app(Settings.from_env({"REDIS_URL": valkey})))) as client:
        yield client


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_key_only_health_is_answered(guarded: tuple[Client, ApiKeys]) -> None:
    api, keys = guarded
    token = await keys.create("other", ("read",))
    for headers in (
        {}, bearer(""), bearer("faces_root."), bearer("faces_root.guessed"), bearer("faces_*.x"),
        bearer(f"{token}x"), {"Authorization": f"Basic {token}"},
    ):  # fmt: skip
        refused = await api.get("/faces/jobs", headers=headers)
        assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await refused.json(content_type="application/problem+json"))["status"] == 401
    assert (await api.get("/metrics")).status == 401
    assert (await api.post("/faces/analyze", json=REQUEST)).status == 401
    assert (await api.get("/faces/health")).status == 200
    assert (await api.get("/faces/jobs", headers=bearer(token))).status == 200


async def test_scopes_decide_what_a_key_may_do(guarded: tuple[Client, ApiKeys]) -> None:
    api, keys = guarded
    tokens = {
        name: await keys.create(name, scopes)
        for name, scopes in {"reader": ("read",), "writer": ("submit",), "boss": ("admin",)}.items()
    }

    async def statuses(name: str) -> list[int]:
        headers = bearer(tokens[name])
        submitted = await api.post("/faces/analyze", json={**REQUEST, "job_id": name}, headers=headers)
        listed = await api.get("/faces/jobs", headers=headers)
        cancelled = await api.post("/faces/jobs/writer/cancel", headers=headers)
        deleted = await api.delete("/faces/jobs/writer", headers=headers)
        return [answer.status for answer in (submitted, listed, cancelled, deleted)]

    assert await statuses("writer") == [202, 403, 200, 403]
    assert await statuses("reader") == [403, 200, 403, 403]
    assert await statuses("boss") == [202, 200, 409, 204]
    refused = await api.delete("/faces/jobs/writer", headers=bearer(tokens["reader"]))
    assert "admin" in (await refused.json(content_type=None))["detail"]


async def test_a_revoked_key_is_refused_at_once(guarded: tuple[Client, ApiKeys]) -> None:
    api, keys = guarded
    token = await keys.create("player", ("read",))
    assert await keys.create("player", ("admin",)) is None
    assert (await api.get("/faces/jobs", headers=bearer(token))).status == 200
    assert await keys.revoke("player") and not await keys.revoke("player")
    assert (await api.get("/faces/jobs", headers=bearer(token))).status == 401


async def test_redis_stores_no_secret(redis: Redis) -> None:
    token = await ApiKeys(redis, Names()).create("player", ("read",))
    assert token is not None
    stored = await redis.hgetall("faces-service:keys")
    assert token.partition(".")[2].encode() not in b"".join(stored.values())


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({"FACES_HOST": "127.0.0.5"}, False), ({"FACES_HOST": "localhost"}, False), ({"FACES_HOST": "::1"}, False),
        ({"FACES_HOST": "0.0.0.0"}, True), ({"FACES_HOST": "::"}, True), ({"FACES_HOST": "faces.local"}, True),
        ({"FACES_HOST": "0.0.0.0", "FACES_AUTH": "off"}, False), ({"FACES_AUTH": "required"}, True),
    ],
)  # fmt: skip
async def test_an_api_on_a_public_address_does_not_start_without_keys(
    valkey: str, redis: Redis, environment: dict[str, str], asked: bool
) -> None:
    settings = Settings.from_env({"REDIS_URL": valkey, **environment})
    server = TestServer(create_app(settings))
    if asked:
        with pytest.raises(NoKeys, match="faces keys create"):
            await server.start_server()
    else:
        await server.start_server()
    await server.close()


async def test_the_command_in_the_refusal_creates_a_key(valkey: str, redis: Redis) -> None:
    environment = {**os.environ, "REDIS_URL": valkey, "FACES_HOST": "0.0.0.0", "FACES_PORT": str(free_port())}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    refused = await asyncio.to_thread(run, "api")
    assert refused.returncode == 2 and "faces keys create" in refused.stderr
    assert "Traceback" not in refused.stderr
    made = await asyncio.to_thread(run, "compose.cli", "keys", "create", "player", "--scope", "read")
    key = await ApiKeys(redis, Names()).find(made.stdout.strip())
    assert key is not None and key.scopes == ("read",)
    assert "player" in (await asyncio.to_thread(run, "compose.cli", "keys", "list")).stdout
    for wrong in (("create", "player"), ("create", "a b"), ("revoke", "nobody")):
        said = await asyncio.to_thread(run, "compose.cli", "keys", *wrong)
        assert said.returncode != 0 and said.stderr and "Traceback" not in said.stderr


async def test_an_idempotency_key_makes_equal_requests_one_job(api: Client, redis: Redis) -> None:
    async def submit(key: str, request: dict[str, str]) -> tuple[int, str | None, str | None]:
        answer = await api.post("/faces/analyze", json=request, headers={"Idempotency-Key": key})
        body = await answer.json(content_type=None)
        return answer.status, body.get("job_id"), body.get("field")

    answers = await asyncio.gather(*(submit("upload-7", REQUEST) for _ in range(10)))
    assert len(set(answers)) == 1 and answers[0][0] == 202
    assert await redis.xlen("faces-service:accepted") == 1
    assert await submit('"upload-7"', {"source": "/1.mp4"}) == answers[0], "said otherwise, and the same"
    assert await submit("upload-7", {"video_path": "/2.mp4"}) == (422, None, "Idempotency-Key")
    status, job_id, _ = await submit("upload-8", REQUEST)
    assert status == 202 and job_id != answers[0][1]
    for wrong in ("", "two words", "x" * 256):
        assert await submit(wrong, REQUEST) == (400, None, "Idempotency-Key")
    async for key in redis.scan_iter("faces-service:idempotency:*"):
        assert 0 < await redis.ttl(key) <= 86400


async def test_idempotency_keys_of_two_callers_are_separate(guarded: tuple[Client, ApiKeys]) -> None:
    api, keys = guarded
    jobs = set()
    for name in ("one", "two"):
        headers = {**bearer(await keys.create(name, ("submit",))), "Idempotency-Key": "upload-7"}
        answer = await api.post("/faces/analyze", json={"video_path": f"/{name}.mp4"}, headers=headers)
        assert answer.status == 202
        jobs.add((await answer.json())["job_id"])
    assert len(jobs) == 2


async def test_a_key_is_the_caller_and_only_an_admin_names_another(
    guarded: tuple[Client, ApiKeys], redis: Redis
) -> None:
    api, keys = guarded
    ann, gateway = [await keys.create(*key) for key in (("ann", ("submit",)), ("gateway", ("admin",)))]
    for token, tenant, status in (
        (ann, None, 202), (ann, "ann", 202), (ann, "bob", 403), (gateway, "bob", 202), (gateway, "a/b", 422),
    ):  # fmt: skip
        request = {"video_path": f"/{status}.mp4"} | ({"tenant": tenant} if tenant else {})
        answer = await api.post("/faces/analyze", json=request, headers=bearer(token))
        assert answer.status == status, (tenant, await answer.text())
    ((_, first),) = await redis.xrange("faces-service:accepted")  # type: ignore[misc]
    waiting = await redis.zrange("faces-service:accepted:waiting", 0, -1)
    assert b"\xa6caller\xa3ann" in first[b"msgpack"]
    assert sorted(message.partition(b" ")[0] for message in waiting) == [b"ann", b"bob"]
