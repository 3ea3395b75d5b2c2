"""Servers and worlds. Every test starts on an empty server and must leave nothing behind."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schemas.store.connection import connect
from tests.consumers.runtime.chain import quiet
from tests.consumers.runtime.servers import Cluster, Server, chosen, running
from tests.consumers.runtime.world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_node: the test turns a screw of the server itself")
    quiet()


def _cache(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("servers"))


@pytest.fixture(scope="session", params=chosen())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server | Cluster]:
    """Each kind of server in turn."""
    started = running(request.param, tmp_path_factory.mktemp(request.param), _cache(request))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def one_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server | Cluster]:
    """For what is slow, and the same on all."""
    started = running("valkey", tmp_path_factory.mktemp("one"), _cache(request))
    yield started
    started.stop()


@pytest.fixture
async def world(request: pytest.FixtureRequest, server: Server | Cluster) -> AsyncIterator[World]:
    if isinstance(server, Cluster) and request.node.get_closest_marker("one_node"):
        pytest.skip("about one server, which a cluster is not")
    async for world in _world(server):
        yield world


@pytest.fixture
async def lone_world(one_server: Server | Cluster) -> AsyncIterator[World]:
    async for world in _world(one_server):
        yield world


async def _world(server: Server | Cluster) -> AsyncIterator[World]:
    async with connect(server.url) as redis:
        await redis.flushall()
        world = World(server.url, redis, "{t}")
        try:
            yield world
        finally:
            await world.end_children()
        await world.assert_nothing_left()
