"""Cores and memory that a process may use: CPU affinity and control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import cgroups
from schemas.cgroups import memory_limit, usable_cores
from schemas.settings import Settings


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups.os, "sched_getaffinity", lambda _: set(range(8)))


def machine(root: Path, groups: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = (
            root
            / "sys/fs/cgroup"
            / name.replace("__", "/").replace("cpu_", "cpu.").replace("memory_", "memory.")
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu_max": "200000 100000\n"}, 2, id="two cores"),
        pytest.param("0::/\n", {"cpu_max": "150000 100000\n"}, 2, id="one and a half"),
        pytest.param("0::/\n", {"cpu_max": "20000 100000\n"}, 1, id="a fifth of one"),
        pytest.param("0::/\n", {"cpu_max": "max 100000\n"}, 8, id="no limit"),
        pytest.param("0::/\n", {"cpu_max": "9900000 100000\n"}, 8, id="more than there are"),
        pytest.param("0::/\n", {}, 8, id="no limit"),
        pytest.param(
            "0::/a/b\n", {"a__cpu_max": "300000 100000\n", "a__b__cpu_max": "max 100000\n"}, 3, id="by the parent"
        ),
        pytest.param(
            "4:memory:/x\n1:cpu,cpuacct:/\n0::/\n",
            {"cpu__cpu_cfs_quota_us": "400000\n", "cpu__cpu_cfs_period_us": "100000\n"},
            4,
            id="version 1",
        ),
        pytest.param(
            "1:cpu,cpuacct:/\n", {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, 8,
            id="version 1 without limit",
        ),
    ],
)  # fmt: skip
def test_control_groups_limit_the_cores(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert usable_cores(machine(tmp_path, groups, **files)) == expected


@pytest.mark.usefixtures("eight_cores")
def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_a_process_pinned_to_one_core_uses_one_thread() -> None:
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    code += "from schemas.settings import Settings; print(Settings.from_env({}).worker_threads)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


GIB = 1 << 30


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"memory_max": f"{GIB}\n"}, GIB, id="one GiB"),
        pytest.param("0::/\n", {"memory_max": "max\n"}, None, id="no limit"),
        pytest.param("0::/\n", {}, None, id="none is stated"),
        pytest.param(
            "0::/a/b\n", {"a__memory_max": f"{GIB}\n", "a__b__memory_max": f"{2 * GIB}\n"}, GIB, id="by the parent"
        ),
        pytest.param(
            "4:memory:/x\n1:cpu:/\n0::/\n", {"memory__memory_limit_in_bytes": f"{GIB}\n"}, GIB, id="version 1"
        ),
        pytest.param(
            "4:memory:/\n", {"memory__memory_limit_in_bytes": "9223372036854771712\n"}, None,
            id="version 1 without limit",
        ),
    ],
)  # fmt: skip
def test_control_groups_limit_the_memory(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int | None
) -> None:
    assert memory_limit(machine(tmp_path, groups, **files)) == expected


@pytest.mark.parametrize(("limit", "given", "expected"), [
    (None, "", 8 * GIB), (GIB, "", GIB * 7 // 8), (64 * GIB, "", 8 * GIB), (GIB, str(2 * GIB), 2 * GIB),
])  # fmt: skip
def test_the_memory_of_a_worker_follows_the_limit_of_its_container(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, given: str, expected: int
) -> None:
    monkeypatch.setattr("schemas.settings.memory_limit", lambda: limit)
    assert Settings.from_env({"FACES_MAX_MEMORY": given}).memory_bytes == expected
