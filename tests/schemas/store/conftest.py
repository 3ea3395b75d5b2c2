"""Job records on an empty server."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from schemas.names import Names
from schemas.store.fair_queue import turns, waiting
from tests.schemas.store.records import Records


@pytest.fixture
async def records(valkey: str) -> AsyncIterator[Records]:
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        yield Records(redis)
        names = Names()
        lasting = {
            names.accepted, waiting(names.accepted), turns(names.accepted), names.active, names.jobs,
            names.events, names.shared_events, names.webhooks,
        }  # fmt: skip
        for key in await redis.keys():
            assert key.decode() in lasting or await redis.ttl(key) > 0, f"{key!r} would stay for ever"
