"""Faults with a fixed seed on the whole service: every job ends with the result of the undisturbed run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disturb import ENVIRONMENT, SCALE, disturbed, undisturbed
from tests.integration.client import Service
from tests.integration.conftest import run_service


@pytest.fixture
def fragile(models_path: Path, tmp_path: Path) -> Iterator[Service]:
    yield from run_service(models_path, tmp_path, "--scale", SCALE, environment=ENVIRONMENT)


def test_disturbed_jobs_come_out_as_calm_ones(fragile: Service, six_people: Path) -> None:
    expected = undisturbed(fragile, [six_people])
    done = disturbed(fragile, [six_people], expected, kills=4, seed=3)
    assert done["kill"] == 4 and done["results compared"] >= 4
