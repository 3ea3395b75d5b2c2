"""An API with a Redis server and settings of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from redis.asyncio import Redis

from api.app import create_app
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs

Client = TestClient[web.Request, web.Application]
Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def jobs(valkey: str, redis: Redis) -> AsyncIterator[Jobs]:
    async with connect(valkey) as client:
        yield Jobs(client, Partitions(), Settings.from_env({}))


@pytest.fixture
async def start(valkey: str, redis: Redis) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def started(**environment: str) -> Client:
            settings = Settings.from_env({"REDIS_URL": valkey, **environment})
            return await stack.enter_async_context(TestClient(TestServer(create_app(settings))))

        yield started
