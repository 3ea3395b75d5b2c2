"""Job records on an empty server."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.schemas.store.records import Records


@pytest.fixture
async def records(valkey: str) -> AsyncIterator[Records]:
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        yield Records(redis)
        lasting = {f"faces:{name}" for name in ("accepted", "active", "jobs", "events", "webhooks")}
        for key in await redis.keys():
            assert key.decode() in lasting or await redis.ttl(key) > 0, f"{key!r} would stay for ever"
