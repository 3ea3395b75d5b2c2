"""Large results are streamed part by part; selections equal those of the whole result."""

import asyncio
import struct
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from api.lookup import JobFace
from api.pages import routes
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultBody, ResultSummary
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from tests.api.conftest import Start
from tests.bench.results import result_of
from tests.waiting import eventually_async

try:
    from compression import zstd  # type: ignore[import-not-found]
except ImportError:
    from backports import zstd

SUMMARY = ResultSummary(unique_faces=1, total_detections=1, frames_processed=1, processing_time_seconds=1.0)


def large() -> ResultBody:
    """Some 24 MB of JSON."""
    some = result_of(300, 8)
    return msgspec.structs.replace(some, faces=some.faces * 8)


async def completed(jobs: Jobs, body: ResultBody, job_id: str = "job") -> None:
    request = AnalyzeRequest(video_path="/v.mp4", source_id="film")
    await jobs.submit(request, job_id)
    await jobs.begin(job_id, request)
    assert await jobs.complete(job_id, body, SUMMARY, 3600)


def expected(body: ResultBody) -> Any:
    return {"job_id": "job", "source_id": "film", **msgspec.json.decode(msgspec.json.encode(body))}


@pytest.mark.parametrize("people", [0, 1, 24, 300])
async def test_a_result_equals_what_was_stored(start: Start, jobs: Jobs, redis: Redis, people: int) -> None:
    body = result_of(people, 8)
    await completed(jobs, body)
    assert (int(await redis.hget("faces-service:job:job:result", "parts")) > 1) == (people == 300)
    api, place = await start(), "/faces/jobs/job/results"
    for coding, unpack in {
        "identity": bytes, "gzip": lambda packed: zlib.decompress(packed, 31), "zstd": zstd.decompress,
    }.items():  # fmt: skip
        answer = await api.get(place, headers={"Accept-Encoding": coding}, auto_decompress=False)  # type: ignore[arg-type]
        content = await answer.read()
        packed = answer.headers.get("Content-Encoding", "identity") == coding
        assert packed or people == 0, "what is small goes as it is"
        assert msgspec.json.decode(unpack(content) if packed else content) == expected(body)
        again = await api.get(
            place, headers={"Accept-Encoding": coding, "If-None-Match": answer.headers["ETag"]}
        )
        assert again.status == 304
    assert (await api.head(place)).status == 200
    whole = expected(body)
    slim = await (await api.get(f"{place}?embeddings=none")).json()
    assert slim == whole | {
        "faces": [{n: v for n, v in face.items() if n != "embedding"} for face in whole["faces"]]
    }
    shares = await (await api.get(f"{place}?fields=faces.share,metadata")).json()
    assert shares["faces"] == [{"face_id": f["face_id"], "share": 1.0} for f in whole["faces"]]
    assert shares["metadata"] == whole["metadata"]
    assert set(await (await api.get(f"{place}?fields=metadata")).json()) == set(whole) - {"faces"}
    vectors = (await (await api.get(f"{place}?fields=faces.embedding&embeddings=base64")).json())["faces"]
    for face, other in zip(vectors, whole["faces"], strict=True):
        numbers = struct.unpack("<512f", msgspec.convert(face["embedding"], bytes))
        assert all(abs(a - b) < 1e-6 for a, b in zip(numbers, other["embedding"], strict=True))


async def test_a_result_replaced_during_a_response_breaks_it_off(
    start: Start, jobs: Jobs, redis: Redis
) -> None:
    await completed(jobs, large())
    api = await start()
    answer = await api.get("/faces/jobs/job/results")
    await answer.content.readany()
    await redis.hset("faces-service:job:job:result", "etag", "another")
    with pytest.raises(Exception, match=r"payload|closed|reset|Connection"):
        await answer.read()


async def test_a_slow_reader_buffers_only_a_few_parts_of_a_large_result(
    start: Start, jobs: Jobs, redis: Redis
) -> None:
    """A client requests a result of 24 MB and does not read it: the API reads as many parts from the server as fit
    the buffers between the two, and no more until the client reads."""
    await completed(jobs, large())
    parts = int(await redis.hget("faces-service:job:job:result", "parts"))
    api = await start()
    await redis.config_resetstat()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1 << 16)
    writer.write(b"GET /faces/jobs/job/results HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    async def asked() -> int:
        return int((await redis.info("commandstats")).get("cmdstat_hmget", {"calls": 0})["calls"])

    async def began() -> bool:
        return await asked() >= 3  # the job, the head, a part

    await eventually_async(began)
    count, unchanged = 0, 0
    while unchanged < 200:  # each look takes as long as the API would to ask for another part
        before, count = count, await asked()
        unchanged = unchanged + 1 if count == before else 0
    assert parts > 60 and count < parts / 2
    received = 0
    while chunk := await reader.read(1 << 16):
        received += len(chunk)
    assert received > 18_000_000
    writer.close()


async def test_one_face_is_read_without_the_whole_result(jobs: Jobs, redis: Redis) -> None:
    """Twelve readers of one face of a result of 24 MB at once take a small part of its size together."""
    body = large()
    faces = [msgspec.structs.replace(face, face_id=f"face_{n}") for n, face in enumerate(body.faces)]
    await completed(jobs, msgspec.structs.replace(body, faces=faces))
    reader = JobReader(redis, Partitions())
    state = await reader.read("job")
    assert state is not None
    tracemalloc.start()
    try:
        found = await asyncio.gather(*(reader.face(state, f"face_{n * 200}", JobFace) for n in range(12)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for number, face in enumerate(found):
        assert face is not None and face[1] == body.metadata.model
        assert face[0].face_id == f"face_{number * 200}"
        assert face[0].embedding == pytest.approx(faces[number * 200].embedding)
    assert peak < 8_000_000, peak
    with pytest.raises(KeyError):
        await reader.face(state, "face_x", JobFace)


async def test_pages_of_large_results_are_rendered_one_at_a_time(start: Start, jobs: Jobs) -> None:
    """Four at once take hardly more memory than one: the answers, which are a sixth of what is decoded."""
    await completed(jobs, result_of(300, 8))
    api = await start()

    async def peak(count: int) -> int:
        tracemalloc.start()
        try:
            answers = await asyncio.gather(*(api.get("/faces/jobs/job/people") for _ in range(count)))
            assert {answer.status for answer in answers} == {200}
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    alone = await peak(1)
    assert await peak(4) < 2 * alone


@pytest.mark.parametrize("place", ["jobs/job/people", "jobs/job/report", "report?jobs=small,job"])
async def test_a_page_of_too_large_results_is_refused_with_where_they_are(
    start: Start, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(routes, "MAX_RESULTS_BYTES", 10 << 20)
    await completed(jobs, large())
    await completed(jobs, result_of(2, 2), "small")
    api = await start()
    answer = await api.get(f"/faces/{place}")
    assert answer.status == 409
    assert "/faces/jobs/job/results has it" in (await answer.json(content_type=None))["detail"]
    assert (await api.get("/faces/report?jobs=small")).status == 200
