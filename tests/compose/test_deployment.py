"""What is deployed fits the program: files that parse, commands and settings that exist, all stages, all streams."""

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from compose.manifests import KEDA, keda
from schemas.settings import Settings
from schemas.topology import PROCESSES, WORKER_TYPES

COMPOSE = Path(__file__).parents[2] / "compose"
KUBERNETES = COMPOSE / "kubernetes"
WORKERS = {worker_type.name for worker_type in WORKER_TYPES}


def documents(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text()))


def services(*names: str) -> dict[str, Any]:
    """The services of several compose files."""
    found: dict[str, Any] = {}
    for name in names:
        (document,) = documents(COMPOSE / name)
        for name, service in document["services"].items():
            found.setdefault(name, {}).update(service)
    return found


def deployments() -> dict[str, Any]:
    """The containers of all deployments and jobs, by the name of what runs them."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents(KUBERNETES / "faces.yml")
        if document["kind"] in ("Deployment", "Job")
    }


def check_command(command: list[str]) -> None:
    match command:
        case ["faces", "models", "fetch"]:
            pass
        case ["python", "-m", "consumers", *stages]:
            assert tuple(stages) in PROCESSES.values()
        case ["python", "-m", module]:
            assert importlib.util.find_spec(f"{module}.__main__")
        case _:
            pytest.fail(f"nobody knows {command}")


@pytest.mark.parametrize("file", sorted(COMPOSE.rglob("*.yml")), ids=lambda file: file.name)
def test_every_file_can_be_read(file: Path) -> None:
    assert all(isinstance(document, dict) for document in documents(file))


def test_compose_runs_commands_that_there_are_with_settings_that_there_are() -> None:
    known = {field.encode_name for field in msgspec.structs.fields(Settings)} | {"LOG_LEVEL"}
    ours = {
        name: service
        for name, service in services("docker-compose.yml", "docker-compose.cuda.yml").items()
        if str(service["image"]).startswith("faces:")
    }
    for service in ours.values():
        check_command(service["command"].split())
        assert service["environment"].keys() <= known
    for service in services("docker-compose.frame-server.yml").values():
        assert service["environment"].keys() <= known
    assert {name for service in ours.values() for name in service["command"].split()} >= WORKERS
    assert all(ours[name]["read_only"] for name in ours.keys() - {"models"})


def test_kubernetes_runs_every_stage_without_rights() -> None:
    known = {field.encode_name for field in msgspec.structs.fields(Settings)}
    (shared,) = (d["data"] for d in documents(KUBERNETES / "faces.yml") if d["kind"] == "ConfigMap")
    assert shared.keys() <= known
    commands: set[str] = set()
    for pod in deployments().values():
        (container,) = pod["containers"]
        check_command(container["command"])
        commands |= set(container["command"])
        assert {variable["name"] for variable in container.get("env", ())} <= known
        assert pod["securityContext"]["runAsNonRoot"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert commands >= WORKERS


def test_keda_scales_every_process_on_the_streams_it_reads() -> None:
    assert KEDA.read_text() == keda(), "python -m compose.manifests writes it"
    scaled = {d["spec"]["scaleTargetRef"]["name"] for d in documents(KEDA) if d["kind"] == "ScaledObject"}
    assert scaled == {f"faces-{process}" for process in PROCESSES} <= deployments().keys()
