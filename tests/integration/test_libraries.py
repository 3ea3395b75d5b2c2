"""A library: the same people in a film and a photograph, named once, corrected, erased without a trace."""

import asyncio
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from compose.demo import make_video
from consumers.libraries.writer import LibraryWriter
from consumers.service import Service as Worker
from schemas.names import Names, Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.chaos.libraries import film
from tests.integration.client import Service
from tests.waiting import eventually

BASE = "/faces/libraries/holidays"


def added(service: Service, source: Path, films: int, *known: str) -> tuple[str, Any]:
    """The id and the result of a job, once the library has its people.

    Args:
        known: collections of known people.
    """
    parameters = {"sampling_interval": 1.0, "library": "holidays", "match_collections": list(known)}
    job_id = service.submit({"video_path": str(source), "parameters": parameters})
    assert service.wait_for_end(job_id)["status"] == "completed"
    eventually(lambda: films == service.get(BASE).json.get("films"))
    return job_id, service.result(job_id)


def correct(service: Service, **change: Any) -> Any:
    answer = service.post(f"{BASE}/corrections", {"change": change})
    assert answer.status == 200, answer
    return answer.json


def everything(service: Service) -> bytes:
    """All that the server holds."""
    with Redis.from_url(service.redis_url) as redis:
        return b"\n".join(part for key in redis.scan_iter() for part in (key, _text(redis, key)))


def sources_observed(service: Service, *jobs: str) -> list[bytes]:
    """Keys of what was seen in the pictures of the sources of jobs."""
    with Redis.from_url(service.redis_url) as redis:
        sources = redis.hmget(Names().observed, jobs)
        keys = [Names().observations(source.decode()).encode() for source in sources if source]
        return [key for key in keys if redis.exists(key)]


def _text(redis: Redis, key: bytes) -> bytes:
    match redis.type(key):
        case b"hash":
            return b"\n".join(part for pair in redis.hgetall(key).items() for part in pair)
        case b"stream":
            return b"\n".join(
                part for _, fields in redis.xrange(key) for pair in fields.items() for part in pair
            )
        case b"zset":
            return b"\n".join(redis.zrange(key, 0, -1))
        case b"set":
            return b"\n".join(redis.smembers(key))
        case b"list":
            return b"\n".join(redis.lrange(key, 0, -1))
        case _:
            return redis.get(key) or b""


def embedded_anew(service: Service, person: str, picture: bytes) -> None:
    """A person whom another model pack has found is found to be the same, by the picture."""
    stranger = film(1, [1])._replace(library="holidays", thumbnails={"face_0": picture})
    stranger = stranger._replace(film=msgspec.structs.replace(stranger.film, pack="another"))

    async def add() -> None:
        async with AsyncRedis.from_url(service.redis_url) as redis:
            partitions, settings = Partitions(), Settings.from_env({})
            jobs = Jobs(redis, partitions, settings)
            writer = LibraryWriter(Worker(redis, partitions.home, settings, jobs, partitions))
            await writer.add(stranger)

    asyncio.run(add())
    assert len(service.get(f"{BASE}/people").json["people"]) == 7
    begun = service.post(f"{BASE}/reembed", {})
    assert begun.status == 200 and begun.json["waiting"] == 1 and begun.json["model"] == "open", begun
    eventually(lambda: service.get(BASE).json["reembedding"]["ended_at"])
    assert service.get(BASE).json["reembedding"]["unfit"] == 0
    assert len(service.get(f"{BASE}/people").json["people"]) == 6
    assert service.get(f"{BASE}/people/{person}").json["films"] == 3


def known_elsewhere(service: Service, movie: str, photograph: Path) -> tuple[str, Any]:
    """Analyses a photograph whose people a collection knows: the library shows the name until it is erased there."""
    cast = "/faces/collections/relatives"
    enrolled = service.post(
        f"{cast}/faces", {"job_id": movie, "face_id": "face_0", "label": "Cousin Example"}
    ).json
    job_id, result = added(service, photograph, 2, "relatives")
    address = f"{BASE}/people?only=named"
    named = service.get(address)
    (person,) = named.json["people"]
    assert person["label"] == "Cousin Example" and person["known"]["person_id"] == enrolled["person_id"]
    assert [face["label"] for face in result["faces"] if face["person_id"] == person["person_id"]] == [
        "Cousin Example"
    ]
    first = service.result(movie)["faces"]
    assert {face["face_id"]: face["label"] for face in first}["face_0"] == "Cousin Example"
    tag = {"If-None-Match": named.headers["ETag"]}
    assert service.get(address, tag).status == 304
    assert service.delete(cast).status == 204
    assert service.get(address, tag).json["people"] == []
    return job_id, service.result(job_id)


def test_people_are_the_same_in_film_and_photograph_until_they_are_erased(
    service: Service, group_photograph: Path, tmp_path: Path
) -> None:
    picture_of_all, footage = (
        tmp_path / "all.png",
        tmp_path / "all.mp4",
    )  # seen by no other test: traces are this one's
    cv2.imwrite(str(picture_of_all), np.asarray(cv2.imread(str(group_photograph)))[1:, 2:])
    make_video(picture_of_all, footage)
    movie, first = added(service, footage, 1)
    photograph, second = known_elsewhere(service, movie, picture_of_all)
    people = service.get(f"{BASE}/people").json["people"]
    assert len(people) == 6 and all(one["films"] == 2 and one["label"] is None for one in people)
    for result in (first, second):
        assert {face["person_id"] for face in result["faces"]} == {one["person_id"] for one in people}
    evidence = service.result(photograph)["faces"][0]["evidence"]
    assert evidence["probability"] > 0.9 and evidence["similarity"] > 0.6

    ann, ben = people[0]["person_id"], people[1]["person_id"]
    address = f"/faces/jobs/{movie}/results"
    tag = service.get(address).headers["ETag"]
    assert service.get(address, {"If-None-Match": tag}).status == 304
    named = correct(service, type="name", person_id=ann, label="Ann Example")
    assert [one["label"] for one in named["people"]] == ["Ann Example"]
    again = service.get(address, {"If-None-Match": tag})
    assert again.status == 200, "an older result has changed"
    for job in (movie, photograph):
        labels = {face["person_id"]: face["label"] for face in service.result(job)["faces"]}
        assert labels[ann] == "Ann Example" and labels[ben] is None
    assert b"Ann Example" in service.get(f"/faces/jobs/{movie}/report").body

    films = service.get(f"{BASE}/people/{ann}/appearances").json["films"]
    assert {one["job_id"] for one in films} == {movie, photograph}
    address_of_picture = f"{BASE}/{films[0]['thumbnail']}"
    picture = service.get(address_of_picture)
    assert picture.status == 200 and picture.body.startswith(b"\xff\xd8")
    assert service.get(address_of_picture, {"If-None-Match": picture.headers["ETag"]}).status == 304
    film_id = next(one["film_id"] for one in films if one["job_id"] == movie)
    assert len(service.get(f"{BASE}/films/{film_id}").json["people"]) == 6
    assert "Ann Example" in service.get(f"{BASE}/films/{film_id}/people.vtt").body.decode()
    table = service.get(f"{BASE}/appearances.csv").body.decode().splitlines()
    assert len(table) > 12 and sum(",Ann Example,0," in row for row in table) >= 2
    together = service.get(f"{BASE}/people/{ann}/together").json["together"]
    assert len(together) == 5 and together[0]["films"] == 2
    listed = service.get(f"{BASE}/people?text=ANN").json["people"]
    assert [one["person_id"] for one in listed] == [ann]
    found = service.post(
        f"{BASE}/search", {"job_id": photograph, "face_id": "face_0"}
    ).json["matches"]  # fmt: skip
    mine = next(face["person_id"] for face in second["faces"] if face["face_id"] == "face_0")
    assert found[0]["person"]["person_id"] == mine and found[0]["similarity"] > 0.99

    embedded_anew(service, ann, picture.body)
    refused = service.post(f"{BASE}/corrections", {"change": {"type": "hide", "person_id": "person-1-0-0"}})
    assert refused.status == 409
    nameless = {"change": {"type": "name", "person_id": ben, "label": "\u200b"}}
    assert service.post(f"{BASE}/corrections", nameless).status == 409, "nobody can see that"
    incomplete = service.post(f"{BASE}/corrections", {"change": {"type": "name"}})
    assert (incomplete.status, incomplete.json["field"]) == (422, "change.person_id")
    assert service.get(f"{BASE}/films/{film_id}?since=5&until=1").json["field"] == "until"
    correct(service, type="hide", person_id=ben)
    assert len(service.get(f"{BASE}/people").json["people"]) == 5
    (hidden,) = service.get(f"{BASE}/people?hidden=only").json["people"]
    assert hidden["person_id"] == ben
    log = service.get(f"{BASE}/corrections").json["corrections"]
    said = [one["change"]["type"] for one in log]
    assert [one for one in said if one != "joined"] == ["hide", "name"], "beside the service's own merges"

    face = next(face for face in first["faces"] if face["person_id"] == ann)
    shown = service.get(f"/faces/jobs/{movie}/faces/{face['face_id']}/thumbnail").body
    kept = everything(service)
    traces = [b"Ann Example", shown, ",".join(str(x) for x in face["embedding"][:9]).encode()]
    assert all(trace in kept for trace in traces)
    observed = sources_observed(service, movie, photograph)
    assert len(observed) == 2 and all(key in kept for key in observed)
    assert service.delete(f"{BASE}/people/{ann}").status == 204
    left = everything(service)
    assert not [trace for trace in (*traces, *observed) if trace in left]
    for job in (movie, photograph):
        result = service.result(job)
        assert len(result["faces"]) == result["metadata"]["unique_faces"] == 5
        assert ann not in {face["person_id"] for face in result["faces"]}

    assert service.delete(f"{BASE}/films/{film_id}").status == 204
    assert service.get(address).status == 404 and service.get(f"{BASE}/films/{film_id}").status == 404
    assert service.delete(BASE).status == 204 and service.get(BASE).status == 404
    eventually(lambda: b"holidays" not in everything(service))  # the order itself goes after its answer
    left = everything(service)
    assert str(tmp_path).encode() not in left
    assert not [
        face for face in second["faces"] if ",".join(map(str, face["embedding"][:9])).encode() in left
    ]
    assert service.get(f"/faces/jobs/{photograph}/results").status == 404


def test_what_a_library_does_not_have_is_said(service: Service) -> None:
    for path in ("", "/people", "/films", "/suggestions", "/corrections"):
        assert service.get(f"/faces/libraries/nowhere{path}").status == 404
    assert service.post("/faces/libraries/nowhere/corrections", {}).status == 404
    assert service.delete("/faces/libraries/nowhere").status == 404
    body = {"video_path": "/v.mp4", "parameters": {"library": "no/name"}}
    assert service.post("/faces/analyze", body).json["field"] == "parameters.library"
