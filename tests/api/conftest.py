"""An API with a Redis server and settings of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from redis.asyncio import Redis

from api.app import create_app
from api.connections import serve
from compose.server import free_port
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.jobs import Jobs
from tests.waiting import eventually_async

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


@asynccontextmanager
async def served(valkey: str) -> AsyncIterator[tuple[web.Application, int]]:
    """Serves the API in this process as `python -m api` does; yields the application and its port."""
    app, port, stop = create_app(Settings.from_env({"REDIS_URL": valkey})), free_port(), asyncio.Event()
    server = asyncio.create_task(serve(app, "127.0.0.1", port, stop))
    try:
        await eventually_async(lambda: is_open(port))
        yield app, port
    finally:
        stop.set()
        await server


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
