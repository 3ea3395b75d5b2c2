"""A Frame Server double in a process of its own, and a film that it can be asked about."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from consumers.sources.frame_server import FrameServer
from tests.consumers.sources.frame_server_double import ServerProcess
from tests.facecore.video.clips import make_clip


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("volume").resolve())
    process.start()
    yield process
    process.kill()


@pytest.fixture
def double(server_process: ServerProcess) -> ServerProcess:
    server_process.faults()
    return server_process


@pytest.fixture
async def server(double: ServerProcess) -> AsyncIterator[FrameServer]:
    async with aiohttp.ClientSession() as session:
        yield FrameServer(double.url, session)


@pytest.fixture
async def impatient_server(double: ServerProcess) -> AsyncIterator[FrameServer]:
    """A client that waits one second at most; most responses take a hundredth of that."""
    async with aiohttp.ClientSession() as session:
        yield FrameServer(double.url, session, response_timeout=1.0, frame_timeout=1.0, health_timeout=1.0)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds, 25 numbered frames a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_clip(path, range(250), b_frames=2)
    return path


@pytest.fixture(scope="session")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as a restoration model would change it: each frame shows the next number."""
    path = tmp_path_factory.mktemp("film") / "restored.mp4"
    make_clip(path, range(250), first=1)
    return path
