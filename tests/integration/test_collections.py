"""Collections of known people: enrolled from one source, found in another, erased without a trace."""

import base64
import os
import signal
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from redis import Redis

from schemas.client import Client, FacesError, SearchRequest
from tests.integration.client import Service, pids_of
from tests.integration.conftest import run_service
from tests.waiting import eventually

PHOTOGRAPH = {"Content-Type": "image/jpeg"}


@pytest.fixture
def collection(service: Service) -> Iterator[str]:
    """The name of a collection that is deleted after the test."""
    yield "friends"
    service.delete("/faces/collections/friends")
    assert "friends" not in [one["name"] for one in service.get("/faces/collections").json["collections"]]


def analyzed(service: Service, source: Path, **parameters: Any) -> tuple[str, Any]:
    """The id and the result of a job."""
    job_id = service.submit(
        {"video_path": str(source), "parameters": {"sampling_interval": 1.0, **parameters}}
    )
    assert service.wait_for_end(job_id)["status"] == "completed"
    return job_id, service.result(job_id)


def enrol(service: Service, name: str, job_id: str, label: str, face_id: str = "face_0") -> Any:
    answer = service.post(
        f"/faces/collections/{name}/faces", {"job_id": job_id, "face_id": face_id, "label": label}
    )
    assert answer.status in (200, 201), answer
    return answer.json


def search(service: Service, name: str, body: Any, query: str = "") -> Any:
    headers = PHOTOGRAPH if isinstance(body, bytes) else None
    answer = service.post(f"/faces/collections/{name}/search{query}", body, headers)
    assert answer.status == 200, answer
    return answer.json


def labels(found: Any) -> list[str]:
    return [match["label"] for match in found["matches"]]


def test_a_person_enrolled_from_one_clip_is_found_in_another(
    service: Service, collection: str, shared_data: Path
) -> None:
    videos = shared_data / "videos"
    again, first = analyzed(service, videos / "asl_again_manA.mkv")
    other, stranger = analyzed(service, videos / "vr_1_vfr.mp4")
    known = enrol(service, collection, again, "man A")
    assert known["label"] == "man A" and known["job_id"] == again and known["collection"] == collection
    enrol(service, collection, other, "somebody else")

    student, second = analyzed(service, videos / "asl_student_manA.mkv", match_collections=[collection])
    (matched,) = second["faces"][0]["matches"]
    assert (matched["label"], matched["person_id"]) == ("man A", known["person_id"])
    assert matched["collection"] == collection and matched["similarity"] > 0.6

    found = search(service, collection, {"job_id": student, "face_id": "face_0"})
    assert labels(found) == ["man A"] and found["searched"] == 2
    assert found["matches"][0]["similarity"] == pytest.approx(matched["similarity"], abs=1e-5)
    everyone = search(service, collection, {"embedding": second["faces"][0]["embedding"], "threshold": -1})
    assert labels(everyone) == ["man A", "somebody else"], "ranked"
    packed = base64.b64encode(array("f", second["faces"][0]["embedding"]).tobytes()).decode()
    assert search(service, collection, {"embedding": packed, "threshold": -1}) == everyone

    _, nobody = analyzed(service, videos / "two_women_sar16_11_trim.mp4", match_collections=[collection])
    assert nobody["faces"] and all(face["matches"] == [] for face in nobody["faces"])
    assert "matches" not in first["faces"][0] and "matches" not in stranger["faces"][0], "nobody asked"


def test_photographs_find_their_identity_and_no_stranger(
    service: Service, collection: str, shared_data: Path
) -> None:
    images = shared_data / "images"
    for person in ("barack_obama", "bbt_amy"):
        job_id, _ = analyzed(service, min((images / person).iterdir()))
        enrol(service, collection, job_id, person)
    for photograph in sorted((images / "barack_obama").iterdir())[1:3]:
        found = search(service, collection, photograph.read_bytes())
        assert labels(found) == ["barack_obama"], photograph
        x_min, y_min, x_max, y_max = found["face"]["bbox"]
        assert x_max - x_min > 20 and y_max - y_min > 20 and found["face"]["faces"] >= 1
    stranger = min((images / "john_lennon").iterdir()).read_bytes()
    assert search(service, collection, stranger)["matches"] == []
    assert len(search(service, collection, stranger, "?threshold=-1&limit=1")["matches"]) == 1


def test_enrolling_again_changes_nothing_and_a_label_gathers_faces(
    service: Service, collection: str, shared_data: Path
) -> None:
    photographs = sorted((shared_data / "images" / "barack_obama").iterdir())[:2]
    (one, _), (two, _) = (analyzed(service, photograph) for photograph in photographs)
    body = {"job_id": one, "face_id": "face_0", "label": "Barack"}
    address = f"/faces/collections/{collection}/faces"
    answers = [service.post(address, body) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 200] and answers[0].json == answers[1].json
    assert service.post(address, {**body, "label": "Joe"}).status == 409, "a face is one person's"
    assert enrol(service, collection, two, "Barack")["person_id"] == answers[0].json["person_id"]

    with Redis.from_url(service.redis_url) as redis:  # a task that is delivered again
        again = {"collection": collection, "face": answers[0].json["face_id"]}
        task = {"type": "enrol", "id": "again", "job": "", "body": again}
        redis.xadd("faces-service:collections", {"json": msgspec.json.encode(task)})
        eventually(lambda: redis.xlen("faces-service:collections") == 0)
    listed = {one["name"]: one for one in service.get("/faces/collections").json["collections"]}
    assert (listed[collection]["people"], listed[collection]["faces"]) == (1, 2)

    person_id = answers[0].json["person_id"]
    base = f"/faces/collections/{collection}/people"
    assert service.get(base).json == {
        "people": [{"person_id": person_id, "label": "Barack", "faces": 2}], "after": None,
    }  # fmt: skip
    renamed = service.patch(f"{base}/{person_id}", {"label": "Barack Obama"})
    assert (
        renamed.status == 200 and renamed.json["label"] == "Barack Obama" and len(renamed.json["faces"]) == 2
    )
    assert labels(search(service, collection, {"job_id": two, "face_id": "face_0"})) == ["Barack Obama"]
    for face in renamed.json["faces"]:
        picture = service.get(f"/faces/collections/{collection}/faces/{face['face_id']}/thumbnail")
        assert cv2.imdecode(np.frombuffer(picture.body, np.uint8), cv2.IMREAD_COLOR) is not None


def test_erasing_a_person_leaves_nothing_behind(service: Service, collection: str, shared_data: Path) -> None:
    """No key of the server, and no field in it, tells of the person any more: not in the results of jobs either."""
    photographs = sorted((shared_data / "images" / "bbt_howard").iterdir())[:2]
    (kept, kept_result), (gone, gone_result) = (
        analyzed(service, p) for p in (min((shared_data / "images" / "bbt_raj").iterdir()), photographs[0])
    )
    enrol(service, collection, kept, "Raj, who stays")
    erased = enrol(service, collection, gone, "Howard, who goes")
    matched, result = analyzed(service, photographs[1], match_collections=[collection])
    assert [match["label"] for match in result["faces"][0]["matches"]] == ["Howard, who goes"]
    etag = service.get(f"/faces/jobs/{matched}/results").headers["ETag"]
    assert (
        service.delete(f"/faces/jobs/{gone}").status == 204
    )  # the job that the face is from is its caller's

    traces = [erased["person_id"], erased["label"], erased["face_id"]]
    vector = array("f", gone_result["faces"][0]["embedding"]).tobytes()
    with Redis.from_url(service.redis_url) as redis:
        assert all(any(trace.encode() in value for value in everything(redis)) for trace in traces)
        assert service.delete(f"/faces/collections/{collection}/people/{erased['person_id']}").status == 204
        values = everything(redis)
    for trace in (*(trace.encode() for trace in traces), vector[:64]):
        assert not [value[:80] for value in values if trace in value]
    cleaned = service.get(f"/faces/jobs/{matched}/results")
    assert cleaned.json["faces"][0]["matches"] == [] and cleaned.headers["ETag"] != etag
    assert labels(search(service, collection, {"job_id": matched, "face_id": "face_0"})) == []
    assert labels(search(service, collection, {"embedding": kept_result["faces"][0]["embedding"]})) == [
        "Raj, who stays"
    ]
    assert service.delete(f"/faces/collections/{collection}/people/{erased['person_id']}").status == 404
    assert service.delete(f"/faces/collections/{collection}").status == 204
    with Redis.from_url(service.redis_url) as redis:
        assert not list(redis.scan_iter(f"*{collection}*"))


def everything(redis: Redis) -> list[bytes]:
    """Every key, field and value of the server."""
    found: list[bytes] = []
    for key in redis.scan_iter(count=1000):
        found.append(key)
        match redis.type(key):
            case b"string":
                found.append(redis.get(key) or b"")  # type: ignore[arg-type]
            case b"hash":
                found += [part for pair in redis.hgetall(key).items() for part in pair]  # type: ignore[union-attr]
            case b"zset":
                found += redis.zrange(key, 0, -1)  # type: ignore[operator]
            case b"set":
                found += redis.smembers(key)  # type: ignore[operator]
            case b"list":
                found += redis.lrange(key, 0, -1)  # type: ignore[operator]
            case b"stream":
                entries: Any = redis.xrange(key)
                found += [part for _, fields in entries for pair in fields.items() for part in pair]
            case other:
                raise AssertionError(other)
    return found


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("nobody/search", {"embedding": [1.0] * 512}, 404, "no collection"),
        ("a%2Fb/faces", {"job_id": "j", "face_id": "f", "label": "l"}, 422, "not a valid name"),
        ("new/faces", {"job_id": "unknown", "face_id": "face_0", "label": "l"}, 404, "no job"),
        ("new/faces", {"job_id": "unknown", "face_id": "face_0", "label": ""}, 422, "length"),
        ("new/faces", {"job_id": "unknown", "face_id": "face_0"}, 422, "label"),
        ("friends/search", {"embedding": [0.0] * 512}, 422, "not all 0"),
        ("friends/search", {"embedding": [1.0] * 511}, 422, "length"),
        ("friends/search", {"embedding": "AAAA"}, 422, "512 numbers"),
        ("friends/search", {"embedding": [1.0] * 512, "limit": 0}, 422, "limit|>= 1"),
        ("friends/search", {}, 400, "Expected embedding"),
        ("friends/search", b"\xff\xd8\xffnot a picture", 422, "JPEG"),
        ("friends/search?limit=x", b"\xff\xd8\xff", 400, "int"),
    ],
)
def test_invalid_searches_are_refused_with_the_reason(
    service: Service, friends: None, path: str, body: Any, status: int, says: str
) -> None:
    headers = PHOTOGRAPH if isinstance(body, bytes) else None
    answer = service.post(f"/faces/collections/{path}", body, headers)
    assert answer.status == status, answer
    assert any(word in answer.json["detail"] + str(answer.json.get("field")) for word in says.split("|")), (
        answer
    )


def test_a_picture_without_a_face_and_one_of_a_stranger_get_different_answers(
    service: Service, friends: None
) -> None:
    _, picture = cv2.imencode(".jpg", np.full((200, 300, 3), 90, np.uint8))
    answer = service.post("/faces/collections/friends/search", picture.tobytes(), PHOTOGRAPH)
    assert answer.status == 422 and answer.json["detail"] == "No face was found in the photograph."


def test_a_job_names_the_unknown_collection(service: Service, six_people: Path) -> None:
    _, result = analyzed(service, six_people, match_collections=["no-such"])
    assert any("'no-such'" in warning for warning in result["metadata"]["warnings"])
    assert all(face["matches"] == [] for face in result["faces"])


def test_the_client_enrols_finds_names_and_erases(
    service: Service, six_people: Path, group_photograph: Path
) -> None:
    job_id, result = analyzed(service, six_people)
    faces = [face["face_id"] for face in result["faces"]]
    with Client(service.url) as client:
        known = client.collection("by-client")
        enrolled = [known.enrol(job_id, face, f"person {face}") for face in faces]
        assert [person.label for person in known.people()] == [face.label for face in enrolled]
        assert "by-client" in [collection.name for collection in client.collections()]
        found = known.search(SearchRequest(job_id=job_id, face_id=faces[0], limit=1))
        assert found.matches[0].person_id == enrolled[0].person_id and found.searched == len(faces)
        pictured = known.search_photograph(group_photograph.read_bytes())
        assert pictured.matches and pictured.face is not None and pictured.face.faces == 6
        assert known.thumbnail(enrolled[0].face_id).startswith(b"\xff\xd8")
        assert known.rename(enrolled[0].person_id, "Ada").label == "Ada"
        known.erase(enrolled[0].person_id)
        with pytest.raises(FacesError, match="404"):
            known.person(enrolled[0].person_id)
        known.delete()
        assert "by-client" not in [collection.name for collection in client.collections()]


@pytest.fixture(scope="module")
def friends(service: Service, six_people: Path) -> Iterator[None]:
    job_id, _ = analyzed(service, six_people)
    enrol(service, "friends", job_id, "one of six")
    yield
    service.delete("/faces/collections/friends")


def test_killed_workers_lose_no_enrolment(models_path: Path, tmp_path: Path, six_people: Path) -> None:
    """Faces are enrolled while their worker is killed again and again; all of them are found, once each."""
    environment = {"FACES_LEASE": "1", "FACES_MAX_ATTEMPTS": "50"}
    running = run_service(models_path, tmp_path, environment=environment)
    service = next(running)
    job_id, result = analyzed(service, six_people)
    faces = [face["face_id"] for face in result["faces"]]

    def one(name: str, face: str) -> int:
        body = {"job_id": job_id, "face_id": face, "label": f"person {face}"}
        return service.post(f"/faces/collections/{name}/faces", body).status

    with Redis.from_url(service.redis_url) as redis, ThreadPoolExecutor(len(faces)) as callers:
        for name in ("a", "b", "c"):
            (worker,) = eventually(lambda: pids_of("consumers finalize", service))
            sent = [callers.submit(one, name, face) for face in faces]
            eventually(lambda: redis.exists(f"faces-service:collection:{name}:people"))  # noqa: B023
            os.kill(worker, signal.SIGKILL)
            eventually(lambda: worker not in pids_of("consumers finalize", service))  # noqa: B023
            assert {task.result() for task in sent} <= {201, 202}
        eventually(lambda: redis.xlen("faces-service:collections") == 0)
        assert redis.xlen("faces-service:dead") == 0
        assert not list(redis.scan_iter("faces-service:collection:*:pending"))
    for name in ("a", "b", "c"):
        for face in faces:
            found = search(service, name, {"job_id": job_id, "face_id": face, "limit": 1})
            assert labels(found) == [f"person {face}"] and found["searched"] == len(faces)
    running.close()
