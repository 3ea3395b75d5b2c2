"""Frames stored in a shared directory instead of Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client import Service, without_times
from tests.integration.conftest import run_service
from tests.waiting import eventually


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="module")
def sharing(models_path: Path, tmp_path_factory: pytest.TempPathFactory, frames: Path) -> Iterator[Service]:
    settings = {"FACES_FRAME_DIRECTORY": str(frames)}
    yield from run_service(models_path, tmp_path_factory.mktemp("data"), environment=settings)


def test_the_result_is_the_same_and_nothing_is_left(
    service: Service, sharing: Service, frames: Path, six_people: Path
) -> None:
    request = {"video_path": str(six_people)}
    untouched = frames.stat().st_mtime_ns
    result = sharing.analyze(request)
    assert frames.stat().st_mtime_ns > untouched, "frames have lain there"
    eventually(lambda: list(frames.iterdir()) == [])
    assert without_times(result) == without_times(service.analyze(request))
    assert len(result["faces"]) == 6
