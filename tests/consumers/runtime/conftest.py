"""Fixtures: servers and worlds. Tests start on an empty server and must leave no work and no key without TTL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schemas.store.connection import connect
from tests.consumers.runtime.chain import log_warnings_only
from tests.consumers.runtime.servers import Cluster, Server, running, selected_servers
from tests.consumers.runtime.world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_node: the test changes the configuration of a single server")
    log_warnings_only()


def _cache(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("servers"))


@pytest.fixture(scope="session", params=selected_servers())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server | Cluster]:
    """Starts each selected kind of server in turn."""
    started = running(request.param, tmp_path_factory.mktemp(request.param), _cache(request))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def one_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server | Cluster]:
    """Starts one server, for tests that are slow and do not depend on the kind of server."""
    started = running("valkey", tmp_path_factory.mktemp("one"), _cache(request))
    yield started
    started.stop()


@pytest.fixture
async def world(request: pytest.FixtureRequest, server: Server | Cluster) -> AsyncIterator[World]:
    if isinstance(server, Cluster) and request.node.get_closest_marker("one_node"):
        pytest.skip("needs a single server")
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
