"""The chaos test with a fixed seed; ``python -m tests.consumers.runtime.chaos`` runs longer."""

from pathlib import Path

from tests.consumers.runtime.chaos import UNITS, chaos


async def test_every_job_ends_once_with_every_outcome(tmp_path: Path) -> None:
    counts = await chaos(seed=3, kills=20, folder=tmp_path)
    print(dict(counts))
    assert counts["kill"] == 20
    assert counts["outcomes"] == UNITS * counts["jobs"] > 0
