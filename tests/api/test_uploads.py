"""Uploads as tus 1.0 has them: resumed where they broke off, bounded, deleted with the job."""

import asyncio
import os
from base64 import b64encode
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from redis.asyncio import Redis

from api import upload_store, uploads
from schemas.names import Partitions
from tests.api.conftest import Client, Start
from tests.waiting import eventually_async

TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}


async def begin(api: Client, name: str, length: int | str) -> ClientResponse:
    metadata = f"filetype dmlkZW8=,filename {b64encode(name.encode()).decode()}"
    return await api.post(
        "/faces/uploads", headers=TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata}
    )


async def send(api: Client, upload_id: str, offset: int, body: bytes) -> ClientResponse:
    return await api.patch(
        f"/faces/uploads/{upload_id}", headers=PART | {"Upload-Offset": str(offset)}, data=body
    )


async def test_an_upload_is_resumed_and_becomes_a_source_of_jobs(
    start: Start, redis: Redis, tmp_path: Path
) -> None:
    api = await start(FACES_UPLOAD_DIRECTORY=str(tmp_path / "uploads"))
    about = await api.options("/faces/uploads")
    assert about.headers["Tus-Version"] == "1.0.0" and int(about.headers["Tus-Max-Size"]) == 8 << 30
    begun = await begin(api, "Sommer ☀.mp4", 10)
    upload_id = (await begun.json())["upload_id"]
    assert begun.status == 201 and begun.headers["Location"] == f"uploads/{upload_id}"
    address = f"/faces/uploads/{upload_id}"
    assert (await send(api, upload_id, 0, b"01234")).headers["Upload-Offset"] == "5"
    head = await api.head(address, headers=TUS)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("5", "10")
    assert head.headers["Cache-Control"] == "no-store" and head.headers["Upload-Expires"].endswith("GMT")
    for offset in (0, 4, 6, 10):
        wrong = await send(api, upload_id, offset, b"x")
        assert wrong.status == 409 and "Upload-Offset: 5" in (await wrong.json())["detail"]
    assert (await send(api, upload_id, 5, b"567890")).status == 413, "more than announced"
    assert (await (await api.get(address)).json())["path"] is None
    assert (await send(api, upload_id, 5, b"56789")).status == 204
    path = (await (await api.get(address)).json())["path"]
    assert Path(path).read_bytes() == b"0123456789" and Path(path).name == "Sommer ☀.mp4"
    assert (await send(api, upload_id, 10, b"x")).status == 409, "complete"
    jobs = []
    for number in range(2):
        answer = await api.post(
            "/faces/analyze", json={"video_path": path, "parameters": {"min_quality": 0.1 * number}}
        )
        jobs.append((await answer.json())["job_id"])
    assert (await api.delete(address, headers=TUS)).status == 409, "jobs are about it"
    for number, job_id in enumerate(jobs):
        assert Path(path).exists()
        assert (await api.post(f"/faces/jobs/{job_id}/cancel")).status == 200
        assert (await api.delete(f"/faces/jobs/{job_id}")).status == 204
        assert Path(path).exists() == (number == 0), "deleted with its last job"
    assert (await api.get(address)).status == 404


async def test_what_is_no_upload_is_refused_with_a_reason(start: Start, tmp_path: Path) -> None:
    api = await start(FACES_UPLOAD_DIRECTORY=str(tmp_path), FACES_MAX_UPLOAD_BYTES="1000")
    for name in (
        "",
        "a/b.mp4",
        "../x.mp4",
        ".x.mp4",
        "x\n.mp4",
        "x.exe",
        "mp4",
        "part",
        "info.json",
        "x" * 300 + ".mp4",
    ):
        refused = await begin(api, name, 5)
        assert refused.status == 400 and (await refused.json())["field"] == "Upload-Metadata", name
    assert (await begin(api, "x.mp4", 1001)).status == 413
    for length in ("0", "-1", "x", "", "9" * 16, "٣"):
        assert (await begin(api, "x.mp4", length)).status == 400, length
    missing = await api.post("/faces/uploads", headers=TUS | {"Upload-Length": "5"})
    assert missing.status == 400
    assert (await api.post("/faces/uploads", headers={"Upload-Length": "5"})).status == 412
    upload_id = (await (await begin(api, "x.mp4", 5)).json())["upload_id"]
    address = f"/faces/uploads/{upload_id}"
    typed = await api.patch(address, headers=TUS | {"Upload-Offset": "0"}, data=b"x")
    assert typed.status == 415
    assert (await api.patch(address, headers=PART, data=b"x")).status == 400
    for unknown in ("x", "A" * 22, "%2e%2e%2f" + "A" * 13):
        assert (await api.get(f"/faces/uploads/{unknown}", headers=TUS)).status == 404
    assert (await api.delete(address, headers=TUS)).status == 204
    assert list(tmp_path.iterdir()) == []


async def test_uploads_are_off_by_setting(start: Start, tmp_path: Path) -> None:
    for setting in ({}, {"FACES_UPLOAD_DIRECTORY": str(tmp_path), "FACES_MAX_UPLOAD_BYTES": "0"}):
        api = await start(**setting)
        assert (await begin(api, "x.mp4", 5)).status == (await api.options("/faces/uploads")).status == 404
        assert (await (await api.post("/faces/session")).json())["max_upload_bytes"] == 0


async def test_uploads_are_bounded_in_number_and_by_the_disk(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await start(FACES_UPLOAD_DIRECTORY=str(tmp_path), FACES_MAX_UPLOAD_BYTES=str(1 << 49))
    assert (await begin(api, "x.mp4", 1 << 48)).status == 507, "no disk has this room"
    monkeypatch.setattr(upload_store, "MAX_UNFINISHED", 1)
    assert (await begin(api, "x.mp4", 5)).status == 201
    assert (await begin(api, "y.mp4", 5)).status == 507


async def test_one_request_writes_at_a_time_and_what_arrived_stays(start: Start, tmp_path: Path) -> None:
    api = await start(FACES_UPLOAD_DIRECTORY=str(tmp_path))
    upload_id = (await (await begin(api, "x.mp4", 10)).json())["upload_id"]
    place = f"PATCH /faces/uploads/{upload_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n"
    head = f"{place}Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 10\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head.encode() + b"0123")

    async def arrived() -> bool:
        return (await api.head(f"/faces/uploads/{upload_id}")).headers["Upload-Offset"] == "4"

    await eventually_async(arrived)
    assert (await send(api, upload_id, 4, b"4")).status == 423
    writer.close()

    async def resumed() -> bool:
        return (await send(api, upload_id, 4, b"456789")).status == 204

    await eventually_async(resumed)
    assert (tmp_path / upload_id / "x.mp4").read_bytes() == b"0123456789"


async def test_uploads_without_a_job_and_of_expired_jobs_are_removed(
    start: Start, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SWEEP_SECONDS", 0.02)
    api = await start(FACES_UPLOAD_DIRECTORY=str(tmp_path))
    old, new, used = [(await (await begin(api, f"{n}.mp4", 1)).json())["upload_id"] for n in "abc"]
    await send(api, used, 0, b"x")
    path = (await (await api.get(f"/faces/uploads/{used}")).json())["path"]
    job_id = (await (await api.post("/faces/analyze", json={"video_path": path})).json())["job_id"]
    for upload in (old, used):
        file = next(path for path in (tmp_path / upload).iterdir() if path.name in ("part", "c.mp4"))
        os.utime(file, (0, 0))

    async def left(*expected: str) -> bool:
        return {path.name for path in tmp_path.iterdir()} == set(expected)

    await eventually_async(lambda: left(new, used))
    assert Path(path).exists(), "its job exists"
    await redis.delete(Partitions().home.job(job_id).metadata)
    await eventually_async(lambda: left(new))
