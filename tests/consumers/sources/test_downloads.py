"""Downloads leave nothing behind: not after their job, not after their worker, not after a worker that was killed."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from consumers.sources import downloads
from consumers.sources.downloads import PREFIX, Downloads
from tests.waiting import eventually_async

KILLED = """
import os, signal, sys
from pathlib import Path
from consumers.sources.downloads import Downloads
downloads = Downloads(Path(sys.argv[1]))
directory = downloads.directory()
Path(directory.name, "source").write_bytes(bytes(1000))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_the_downloads_of_a_killed_worker_are_removed_while_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "SWEEP_SECONDS", 0.05)
    living = Downloads(tmp_path)
    sweeping = asyncio.create_task(living.sweep_periodically())
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path))
    assert await killed.wait() == -signal.SIGKILL
    await eventually_async(lambda: list(tmp_path.iterdir()) == [])
    living.directory().cleanup()
    living.close()
    assert list(tmp_path.iterdir()) == []
    sweeping.cancel()


def test_the_downloads_of_a_living_worker_stay(tmp_path: Path) -> None:
    living = Downloads(tmp_path)
    directory = living.directory()
    source = Path(directory.name) / "source"
    source.write_bytes(b"film")
    Downloads(tmp_path).sweep()
    assert source.exists()
    living.close()


def test_what_is_not_the_workers_own_is_not_removed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").touch()
    parent = tmp_path / "temporary"
    parent.mkdir()
    (parent / f"{PREFIX}link").symlink_to(other)
    (parent / f"{PREFIX}unlocked").mkdir()
    (parent / "faces-of-others").mkdir()
    Downloads(parent).sweep()
    assert (other / "lock").exists() and len(list(parent.iterdir())) == 3
