"""Downloads leave nothing behind: not after their job, not after their worker, not after a worker that was killed."""

import signal
import subprocess
import sys
from pathlib import Path

from consumers.sources.downloads import PREFIX, Downloads

KILLED = """
import os, signal, sys
from pathlib import Path
from consumers.sources.downloads import Downloads
downloads = Downloads(Path(sys.argv[1]))
directory = downloads.directory()
Path(directory.name, "source").write_bytes(bytes(1000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_downloads_of_a_killed_worker_are_removed_by_the_next_one(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = tmp_path.glob(f"{PREFIX}*/*/source")
    living = Downloads(tmp_path)
    directory = living.directory()
    assert not left.parent.parent.exists()
    directory.cleanup()
    living.close()
    assert list(tmp_path.iterdir()) == []


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
