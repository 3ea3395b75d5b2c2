"""What the stages share, on an empty server."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from consumers.service import Service
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs


@pytest.fixture
async def service(valkey: str) -> AsyncIterator[Service]:
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions, settings = Partitions(), Settings.from_env({})
        yield Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
