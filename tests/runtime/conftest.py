"""Servers and worlds. Every test starts on an empty server and must leave nothing behind."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consumers.runtime.connection import connect
from tests.runtime.chain import quiet
from tests.runtime.servers import Server, chosen, running
from tests.runtime.world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves_work: the test leaves work behind on purpose")
    quiet()


def _cache(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("servers"))


@pytest.fixture(scope="session", params=[name for name in chosen() if name != "cluster"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each kind of server in turn."""
    started = running(request.param, tmp_path_factory.mktemp(request.param), _cache(request))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def one_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For what is slow, and the same on all."""
    started = running("valkey", tmp_path_factory.mktemp("one"), _cache(request))
    yield started
    started.stop()


@pytest.fixture
async def world(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[World]:
    async for world in _world(request, server):
        yield world


@pytest.fixture
async def lone_world(request: pytest.FixtureRequest, one_server: Server) -> AsyncIterator[World]:
    async for world in _world(request, one_server):
        yield world


async def _world(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[World]:
    async with connect(server.url) as redis:
        await redis.flushall()
        world = World(server.url, redis, "{t}")
        try:
            yield world
        finally:
            await world.end_children()
        if not request.node.get_closest_marker("leaves_work"):
            await world.assert_nothing_left()
