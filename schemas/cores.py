"""Counts the cores that this process may use; in a container these are fewer than the machine's."""

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
    return min([cores, *(max(1, ceil(quota)) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """CPU quotas of the control groups (versions 1 and 2) in cores; none where there is no limit."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system than Linux
        return
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        place = mount / path.strip("/")
        # The parents' limits apply as well; in a container the root is the container's own group.
        for directory in (place, *place.parents):
            quota, period = _limit(directory)
            if quota > 0 and period > 0:
                yield quota / period
            if directory == mount:
                break


def _limit(directory: Path) -> tuple[int, int]:
    """CPU quota and period in microseconds; quota -1 when there is no limit or none is stated."""
    try:
        if (v2 := directory / "cpu.max").is_file():
            quota, period = v2.read_text().split()
            return (-1 if quota == "max" else int(quota)), int(period)
        quota = (directory / "cpu.cfs_quota_us").read_text()
        return int(quota), int((directory / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return -1, 1
