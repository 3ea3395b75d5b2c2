"""Cores and memory that this process may use; in a container these are less than the machine's (control groups)."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Cores of the CPU affinity, limited by the CPU quota of the control groups (rounded up).

    Args:
        root: directory of /proc and /sys.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (_cpu_limit(directory) for directory in _groups(root, "cpu"))
    return min(
        [cores, *(max(1, ceil(quota / period)) for quota, period in quotas if quota > 0 and period > 0)]
    )


def memory_limit(root: Path = Path("/")) -> int | None:
    """Memory limit of the control groups in bytes; None when there is none.

    Args:
        root: directory of /proc and /sys.
    """
    limits = (_memory_limit(directory) for directory in _groups(root, "memory"))
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Directories of the control groups (versions 1 and 2) whose limits apply to this process."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system than Linux
        return
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        place = mount / path.strip("/")
        # The parents' limits apply as well; in a container the root is the container's own group.
        for directory in (place, *place.parents):
            yield directory
            if directory == mount:
                break


def _cpu_limit(directory: Path) -> tuple[int, int]:
    """CPU quota and period in microseconds; quota -1 when there is no limit or none is stated."""
    try:
        if (v2 := directory / "cpu.max").is_file():
            quota, period = v2.read_text().split()
            return (-1 if quota == "max" else int(quota)), int(period)
        quota = (directory / "cpu.cfs_quota_us").read_text()
        return int(quota), int((directory / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return -1, 1


def _memory_limit(directory: Path) -> int | None:
    """Memory limit in bytes; None when there is no limit or none is stated (version 1 states about 2**63)."""
    v2, v1 = directory / "memory.max", directory / "memory.limit_in_bytes"
    try:
        limit = int((v2 if v2.is_file() else v1).read_text())
    except (OSError, ValueError):  # ValueError: "max"
        return None
    return limit if 0 < limit < 1 << 60 else None
