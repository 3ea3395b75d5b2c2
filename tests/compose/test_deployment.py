"""What is deployed fits the program: files that parse, commands and settings that exist, all stages, all streams."""

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from compose.manifests import KEDA, keda
from consumers.sources.memory_budget import PICTURE_SHARE
from facecore.video.images import DECODING_BYTES
from schemas.settings import MEMORY_SHARE, Settings
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
    known = {field.encode_name for field in msgspec.structs.fields(Settings)} | {"LOG_LEVEL", "TMPDIR"}
    ours = {
        name: service
        for name, service in services("docker-compose.yml", "docker-compose.cuda.yml").items()
        if str(service["image"]).startswith("${FACES_REGISTRY:-}faces:")
    }
    for service in ours.values():
        check_command(service["command"].split())
        assert service["environment"].keys() <= known
    for service in services("docker-compose.frame-server.yml").values():
        assert service["environment"].keys() <= known
    assert {name for service in ours.values() for name in service["command"].split()} >= WORKERS
    for service in ours.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert all(":size=" in folder for folder in service["tmpfs"])
    assert all(
        "downloads:/downloads" in ours[name]["volumes"] for name in WORKERS & ours.keys() - {"analyze"}
    )


def test_redis_of_compose_asks_for_a_password_that_no_process_list_shows() -> None:
    redis = services("docker-compose.yml")["redis"]
    assert redis["environment"]["REDISCLI_AUTH"].startswith("${REDIS_PASSWORD:?")
    assert "requirepass" in redis["command"][2] and "--requirepass" not in redis["command"][2]
    for name, service in services("docker-compose.yml", "docker-compose.frame-server.yml").items():
        if "REDIS_URL" in service.get("environment", {}):
            assert "redis://:${REDIS_PASSWORD:?" in service["environment"]["REDIS_URL"], name


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
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert commands >= WORKERS


def test_kubernetes_lets_in_what_is_served_and_nothing_else() -> None:
    ports = {
        rule["port"] for d in policies() for way in d["spec"].get("ingress", ()) for rule in way["ports"]
    }
    assert ports == {5003, 9100}


def policies() -> list[Any]:
    return [d for d in documents(KUBERNETES / "faces.yml") if d["kind"] == "NetworkPolicy"]


def test_kubernetes_lets_out_what_each_stage_needs_and_nothing_else() -> None:
    reached: dict[str, set[int]] = {}
    for pod, spec in deployments().items():
        labels = {"app": "faces", "stage": pod.removeprefix("faces-")}
        chosen = [
            policy["spec"]
            for policy in policies()
            if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        assert any("Egress" in policy["policyTypes"] for policy in chosen), f"{pod} reaches everything"
        ways = [way for policy in chosen for way in policy.get("egress", ())]
        reached[labels["stage"]] = {rule["port"] for way in ways for rule in way["ports"]} - {53, 6379}
        for way in ways:
            blocks = [to["ipBlock"] for to in way["to"] if "ipBlock" in to]
            assert all(set(block["except"]) & {"169.254.0.0/16", "fe80::/10"} for block in blocks), pod
        assert spec["containers"]
    assert reached == {
        "api": set(), "analyze": set(), "enhance": {5001}, "frames": {80, 443, 5001}, "finalize": {80, 443},
        "models": {443},
    }  # fmt: skip


def test_each_stage_may_have_a_user_of_its_own_on_the_server() -> None:
    for pod, spec in deployments().items():
        (container,) = spec["containers"]
        secrets = [source["secretRef"] for source in container["envFrom"] if "secretRef" in source]
        assert "REDIS_URL" not in {variable["name"] for variable in container.get("env", ())}, "it would win"
        if pod != "faces-models":
            own = {"name": pod.replace("faces-", "faces-redis-"), "optional": True}
            assert secrets == [{"name": "faces-redis"}, own]


def test_one_line_names_the_registry_of_all_images() -> None:
    (kustomization,) = documents(KUBERNETES / "kustomization.yml")
    assert kustomization["resources"] == ["faces.yml"]
    (image,) = kustomization["images"]
    used = {container["image"] for pod in deployments().values() for container in pod["containers"]}
    assert used == {f"{image['name']}:{image['newTag']}"}


def test_the_memory_of_kubernetes_is_enough_for_the_largest_photograph() -> None:
    """FACES_MAX_MEMORY follows the limit of the container, and pictures get a third of it."""
    (shared,) = (d["data"] for d in documents(KUBERNETES / "faces.yml") if d["kind"] == "ConfigMap")
    assert "FACES_MAX_MEMORY" not in shared
    for pod in ("faces-frames", "faces-analyze"):
        (container,) = deployments()[pod]["containers"]
        limit = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) << 30
        largest = Settings.from_env({}).max_pixels * DECODING_BYTES["JPEG"]
        assert limit * MEMORY_SHARE / PICTURE_SHARE >= largest, pod


def test_keda_scales_every_process_on_the_streams_it_reads() -> None:
    assert KEDA.read_text() == keda(), "python -m compose.manifests writes it"
    scaled = {d["spec"]["scaleTargetRef"]["name"] for d in documents(KEDA) if d["kind"] == "ScaledObject"}
    assert scaled == {f"faces-{process}" for process in PROCESSES} <= deployments().keys()
