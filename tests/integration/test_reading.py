"""Representations of a result: report, selected fields, compressed; events on the way."""

import gzip
import struct
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgspec
import pytest

from tests.api.test_report import Page
from tests.facecore.video.films import loop_film
from tests.integration.client import Service, stopped


@pytest.fixture(scope="module")
def job(service: Service, six_people: Path) -> str:
    job_id = service.submit(
        {"video_path": str(six_people), "source_id": "</script><b>", "parameters": {"min_confidence": 0.57}}
    )
    assert service.wait_for_end(job_id)["status"] == "completed"
    return job_id


def test_the_report_shows_every_person_and_appearance(service: Service, job: str) -> None:
    result = service.result(job)
    answer = service.get(f"/faces/jobs/{job}/report")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = Page(answer.body)
    (shown,) = page.data
    assert shown["source_id"] == "</script><b>"
    assert shown["length"] >= max(f["appearances"][-1]["end"] for f in result["faces"])
    for face, person in zip(result["faces"], shown["people"], strict=True):
        assert person["id"] == face["face_id"]
        assert person["appearances"] == [[a["start"], a["end"]] for a in face["appearances"]]
        times_and_quality = [[d["timestamp"], d["quality"]["composite"]] for d in face["detections"]]
        assert [row[:2] for row in person["detections"]] == times_and_quality
        assert person["picture"].startswith("data:image/jpeg;base64,/9j/")
    again = service.get(f"/faces/jobs/{job}/report", {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_there_is_no_report_before_the_end(service: Service, six_people: Path) -> None:
    assert service.get("/faces/jobs/nobody/report").status == 404
    job_id = service.submit({"video_path": "/no/such/film.mp4"})
    service.wait_for_end(job_id)
    refused = service.get(f"/faces/jobs/{job_id}/report")
    assert refused.status == 409 and "failed" in refused.json["detail"]


def test_parts_of_a_result_can_be_selected(service: Service, job: str) -> None:
    whole = service.result(job)
    place = f"/faces/jobs/{job}/results"
    slim = service.get(f"{place}?embeddings=none").json
    assert all(len(face["person_embedding"]) == 512 for face in whole["faces"] if len(face["detections"]) > 1)
    without = [
        {name: v for name, v in face.items() if name not in ("embedding", "person_embedding")}
        for face in whole["faces"]
    ]
    assert slim == {**whole, "faces": without}
    packed = service.get(f"{place}?embeddings=base64&fields=faces.embedding").json
    assert set(packed) == {"job_id", "source_id", "status", "faces"}
    for face, other in zip(packed["faces"], whole["faces"], strict=True):
        assert set(face) == {"face_id", "embedding"}
        vector = struct.unpack("<512f", msgspec.convert(face["embedding"], bytes))
        assert vector == pytest.approx(other["embedding"], abs=1e-6)
    assert set(service.get(f"{place}?fields=metadata").json) == {"job_id", "source_id", "status", "metadata"}
    shown = service.get(f"{place}?fields=faces.thumbnail&thumbnails=inline").json
    for face, other in zip(shown["faces"], whole["faces"], strict=True):
        assert urljoin(place, other["thumbnail"]) == f"/faces/jobs/{job}/faces/{face['face_id']}/thumbnail"
        picture = b64decode(face["thumbnail"].removeprefix("data:image/jpeg;base64,"), validate=True)
        assert picture == service.get(urljoin(place, other["thumbnail"])).body
    selected = service.get(f"{place}?fields=metadata,faces.share").json
    assert set(selected["faces"][0]) == {"face_id", "share"} and selected["metadata"] == whole["metadata"]


@pytest.mark.parametrize(
    ("query", "field", "allowed"),
    [
        ("fields=people", "fields", "faces.embedding"),
        ("fields=", "fields", "metadata"),
        ("embeddings=hex", "embeddings", "base64"),
    ],
)
def test_an_unknown_field_is_refused_with_the_allowed_ones(
    service: Service, job: str, query: str, field: str, allowed: str
) -> None:
    refused = service.get(f"/faces/jobs/{job}/results?{query}")
    assert refused.status == 400 and refused.json["field"] == field and allowed in refused.json["detail"]


def test_every_representation_has_its_own_etag(service: Service, job: str) -> None:
    place = f"/faces/jobs/{job}/results"
    plain = service.get(place)
    packed = service.get(place, {"Accept-Encoding": "br, gzip;q=0.8"})
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in service.get(place, {"Accept-Encoding": "gzip;q=0"}).headers
    slim = service.get(f"{place}?embeddings=none")
    tags = [answer.headers["ETag"] for answer in (plain, packed, slim)]
    assert len(set(tags)) == 3
    assert service.get(place, {"If-None-Match": f'"other", {tags[0]}'}).status == 304
    assert service.get(place, {"If-None-Match": f"W/{tags[1]}", "Accept-Encoding": "gzip"}).status == 304
    assert service.get(place, {"If-None-Match": tags[2]}).status == 200
    assert service.get(f"{place}?embeddings=none", {"If-None-Match": tags[2]}).status == 304


async def test_events_lead_to_the_end_and_can_be_resumed(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"min_confidence": 0.58, "sampling_interval": 1.0}}
    async with aiohttp.ClientSession() as session:
        with stopped("consumers finalize", service):  # the job does not end before it is followed
            job_id = service.submit(wanted)
            place = f"{service.url}/faces/jobs/{job_id}/events"
            stream = await session.get(place, timeout=aiohttp.ClientTimeout(120))
            assert stream.content_type == "text/event-stream"
            begun = await stream.content.readuntil(b"event: stage\n")
        async with stream:
            events = read((begun + await stream.read()).decode())
        assert [event["event"] for event in events].count("end") == 1
        assert events[0]["event"] == "stage" and events[-1]["event"] == "end"
        assert events[-1]["data"] == service.get(f"/faces/jobs/{job_id}/status").json
        assert events[-1]["data"]["status"] == "completed"
        progress = [event["data"]["progress"] for event in events]
        assert progress == sorted(progress)
        async with session.get(place, headers={"Last-Event-ID": events[0]["id"]}) as stream:
            assert [event["event"] for event in read(await stream.text())] == ["end"]
        async with session.get(place, headers={"Last-Event-ID": events[-1]["id"]}) as stream:
            assert stream.status == 204
        async with session.get(f"{service.url}/faces/jobs/nobody/events") as stream:
            assert stream.status == 404 and (await stream.json(content_type=None))["status"] == 404


async def test_events_report_the_people_found_so_far(
    service: Service, six_people: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    loop_film(six_people, film, seconds=300)
    job_id = service.submit({"video_path": str(film), "parameters": {"sampling_interval": 0.5}})
    people: list[int | None] = []
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{service.url}/faces/jobs/{job_id}/events", timeout=aiohttp.ClientTimeout(120)
        ) as stream,
    ):
        async for line in stream.content:
            if line.startswith(b"data: "):
                people.append(msgspec.json.decode(line[6:]).get("people"))
            if people and people[-1] == 6:
                service.post(f"/faces/jobs/{job_id}/cancel", b"")
    assert people[0] is None and 6 in people and people[-1] is None, people


async def test_deleting_a_job_ends_its_event_stream(service: Service, six_people: Path) -> None:
    wanted = {"video_path": str(six_people), "parameters": {"min_confidence": 0.59, "sampling_interval": 0.5}}
    job_id = service.submit(wanted)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/faces/jobs/{job_id}/events", timeout=aiohttp.ClientTimeout(60)) as stream,
    ):
        service.post(f"/faces/jobs/{job_id}/cancel", b"")
        assert service.delete(f"/faces/jobs/{job_id}").status == 204
        assert read(await stream.text())[-1]["event"] in ("end", "gone")


def read(text: str) -> list[dict[str, Any]]:
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            events.append({**fields, "data": msgspec.json.decode(fields["data"])})
    return events
