"""How many cores this process may use: the machine's number says too much in a container."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that the process may run on, and no more than its control groups pay for; a part of one counts whole.

    Args:
        root: where /proc and /sys lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *(max(1, ceil(quota)) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Processor seconds a second that the control groups allow, versions 1 and 2; nothing where there is no limit."""
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
        for directory in (
            place,
            *place.parents,
        ):  # the parents limit as well; in a container the root is one's own
            quota, period = _limit(directory)
            if quota > 0 and period > 0:
                yield quota / period
            if directory == mount:
                break


def _limit(directory: Path) -> tuple[int, int]:
    """Microseconds of processor time in a period of so many; -1: unlimited, or nothing told here."""
    try:
        if (v2 := directory / "cpu.max").is_file():
            quota, period = v2.read_text().split()
            return (-1 if quota == "max" else int(quota)), int(period)
        quota = (directory / "cpu.cfs_quota_us").read_text()
        return int(quota), int((directory / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return -1, 1
