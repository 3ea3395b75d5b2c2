"""Alerts, dashboard and runbook fit what the processes export."""

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from api import metrics
from consumers.runtime.metrics import Metrics
from schemas.settings import Settings
from schemas.store.job_metrics import JobMetrics
from schemas.topology import PROCESSES

COMPOSE = Path(__file__).parents[2] / "compose"
ALERTS = COMPOSE / "prometheus" / "alerts.yml"
SUFFIXES = ("_total", "_bucket", "_sum", "_count")


def exported() -> set[str]:
    workers = Metrics()
    JobMetrics(workers.registry)
    registries: list[CollectorRegistry] = [metrics.registry, workers.registry]
    names = {family.name for registry in registries for family in registry.collect()}
    return names | {name + suffix for name in names for suffix in SUFFIXES} | {"up"}


def named(expressions: str) -> set[str]:
    return set(re.findall(r"\b(?:faces|stream)_[a-z_]+\b", expressions))


def test_alerts_ask_for_figures_that_there_are() -> None:
    expressions = "\n".join(re.findall(r"expr: (?:>-\n(?:\s{10,}.+\n)+|.+)", ALERTS.read_text()))
    assert named(expressions) and named(expressions) <= exported()


def test_the_dashboard_shows_figures_that_there_are() -> None:
    board = msgspec.json.decode((COMPOSE / "grafana" / "dashboard.json").read_bytes())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) > 10 and named("\n".join(expressions)) <= exported()


def test_the_runbook_has_a_chapter_for_every_alert() -> None:
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    assert alerts == set(re.findall(r"^### (Faces\w*)", (COMPOSE / "RUNBOOK.md").read_text(), re.MULTILINE))


def test_the_runbook_explains_log_events_that_there_are() -> None:
    table = (COMPOSE / "RUNBOOK.md").read_text().split("| Event | Level | Meaning |")[1].split("\n\n")[0]
    firsts = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    events = [event for first in firsts for event in re.findall(r"`([^`]+)`", first)]
    rooms = (COMPOSE.parent / room for room in ("api", "consumers"))
    code = "\n".join(file.read_text() for room in rooms for file in room.rglob("*.py"))
    assert len(events) > 15 and [event for event in events if f'"{event}"' not in code] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        [promtool, *arguments], cwd=ALERTS.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_deployments_run_what_the_procfile_runs() -> None:
    """Process types named in the manifests and in the topology are those of the Procfile."""
    procfile = (COMPOSE.parent / "Procfile").read_text()
    processes = {"api": "api"} | {name: f"consumers {' '.join(run)}" for name, run in PROCESSES.items()}
    assert procfile == "".join(f"{name}: python -m {command}\n" for name, command in processes.items())
    manifests = (COMPOSE / "kubernetes" / "faces.yml").read_text()
    commands = re.findall(r"command: \[python, -m, (.+)\]", manifests)
    assert [command.replace(",", "") for command in commands] == list(processes.values())
    variables = set(re.findall(r"^  ([A-Z_]+):", manifests, re.MULTILINE))
    assert variables <= {field.encode_name for field in msgspec.structs.fields(Settings)}
