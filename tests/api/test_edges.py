"""Middleware: request ids, limits, CORS, problem documents."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.api.conftest import Start
from tests.waiting import eventually_async

REQUEST = {"video_path": "/1.mp4"}


@pytest.fixture
def talkative() -> Iterator[None]:
    """Logs as by default, whatever other tests want to hear of them."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**configured)


async def test_a_request_id_is_returned_and_logged(
    start: Start, talkative: None, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await start()
    answer = await api.post("/faces/analyze", json=REQUEST, headers={"X-Request-ID": "from-upstream:7"})
    assert answer.headers["X-Request-ID"] == "from-upstream:7"
    assert "from-upstream:7" in capsys.readouterr().out
    made = [(await api.get(path)).headers["X-Request-ID"] for path in ("/faces/jobs", "/nowhere", "/metrics")]
    assert len(set(made)) == 3 and all(len(request_id) == 24 for request_id in made)
    for forged in ("x y", "a" * 200, "{}", "ä"):
        answer = await api.get("/faces/jobs", headers={"X-Request-ID": forged})
        assert answer.headers["X-Request-ID"] != forged


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({"parameters": {"min_confidence": 7}}, "parameters.min_confidence", {"minimum": 0, "maximum": 1}),
        ({"parameters": {"face_min_quality": "x"}}, "parameters.face_min_quality", {"type": "number", "maximum": 1}),
        ({"parameters": {"sampling": "all"}}, "parameters.sampling", {"enum": ["adaptive", "interval", "keyframes"]}),
        ({"priority": "urgent"}, "priority", {"enum": ["high", "low", "normal"]}),
        ({"job_id": "a\n"}, "job_id", {"type": "string"}),
        ({"parameters": {"scene_boundaries": [{"start_timestamp": -1, "end_timestamp": 1}]}},
         "parameters.scene_boundaries[0].start_timestamp", {"minimum": 0}),
        ({"parameters": {"min_quality": False, "face_min_quality": 0}}, "parameters.face_min_quality", None),
        ({"callback_url": "https://example.com/"}, "callback_url", None),
        ({"sorce_id": "a"}, "sorce_id", None),
        ({"parameters": {"sampling_interva": 1.0}}, "parameters.sampling_interva", None),
    ],
)  # fmt: skip
async def test_a_problem_names_the_field_and_the_allowed_values(
    start: Start, body: dict[str, Any], field: str, allowed: dict[str, Any] | None
) -> None:
    api = await start()
    answer = await api.post("/faces/analyze", json={**REQUEST, **body})
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"], problem["field"]) == (422, 422, field)
    assert (allowed or {}).items() <= problem.get("allowed", {}).items()
    assert problem["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("limit=1&limit=2", "limit"),
        ("status=gone", "status"), ("status=null", "status"), ("created_after=yesterday", "created_after"),
        ("created_before=1795520628", "created_before"), ("created_after=2026-01-01T00:00:00", "created_after"),
        ("cursor=x", "cursor"), ("cursor=1~a%0A", "cursor"),
    ],
)  # fmt: skip
async def test_invalid_query_parameters_are_400_and_named(start: Start, query: str, field: str) -> None:
    answer = await (await start()).get(f"/faces/jobs?{query}")
    problem = await answer.json(content_type="application/problem+json")
    assert answer.status == 400 and problem["field"] == field and problem["allowed"]


async def test_unknown_names_are_refused_with_the_nearest_name(start: Start) -> None:
    api = await start()
    enrol = {"job_id": "a", "face_id": "b", "labl": "c"}
    for answer, name in (
        (await api.get("/faces/jobs?limits=5"), "limit"),
        (await api.post("/faces/collections/cast/faces", json=enrol), "label"),
        (await api.post("/faces/analyze", json={**REQUEST, "prioritys": "high"}), "priority"),
    ):
        problem = await answer.json(content_type="application/problem+json")
        assert answer.status in (400, 422)
        assert f"did you mean {name}?" in problem["detail"]
    assert (await api.post("/faces/analyze", json={**REQUEST, "prioritys": 1, "lenient": True})).status == 202


async def test_a_missing_file_is_known_at_once_where_the_api_sees_the_media(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "film.mp4").touch()
    (tmp_path / "link.mp4").symlink_to("/etc/no-such-file")
    api = await start(FACES_CHECK_SOURCES="1", FACES_MEDIA_ROOTS=str(tmp_path))

    async def submit(body: dict[str, Any]) -> int:
        answer = await api.post("/faces/analyze", json=body)
        if answer.status == 404:
            problem = await answer.json(content_type="application/problem+json")
            assert problem["detail"] == f"There is no file at {tmp_path}/missing.mp4."
        return answer.status

    film, missing = f"{tmp_path}/film.mp4", f"{tmp_path}/missing.mp4"
    sprites = {"use_sprites": True, "sprite_vtt_url": missing}
    assert await submit({"video_path": missing}) == 404
    assert await submit({"images": [film, missing]}) == 404
    nowhere = await api.post("/faces/analyze", json={"video_path": f"file://{tmp_path}/missing%FF.mp4"})
    assert nowhere.status == 404
    assert await submit({"video_path": film, "parameters": sprites}) == 404
    for path in (
        film,
        "http://media.example/film.mp4",
        "/etc/no-such-file",
        f"{tmp_path}/link.mp4",
        "/" + 999 * "x",
    ):
        assert await submit({"video_path": path}) == 202, "outside the roots nothing is looked up"
    assert (await (await start()).post("/faces/analyze", json={"video_path": missing})).status == 202


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 100_000, b"\xff", b"", b"3", b'{"video_path": NaN}']
)
async def test_an_unreadable_body_is_400(start: Start, body: bytes) -> None:
    answer = await (await start()).post("/faces/analyze", data=body)
    assert answer.status == 400 and (await answer.json(content_type=None))["detail"]


async def test_a_body_over_the_limit_is_413(start: Start) -> None:
    api = await start(FACES_MAX_BODY_BYTES="1000")
    assert (await api.post("/faces/analyze", json=REQUEST)).status == 202
    for body in (b" " * 1001, b"{" + b" " * 10_000):
        answer = await api.post("/faces/analyze", data=body)
        assert answer.status == 413 and (await answer.json(content_type=None))["status"] == 413


async def test_too_many_concurrent_requests_are_503(start: Start) -> None:
    """Two bodies that do not come hold both places; probes pass, and so does everybody once they have gone."""
    api = await start(FACES_MAX_REQUESTS="2")
    writers = [(await asyncio.open_connection("127.0.0.1", api.port))[1] for _ in range(2)]
    for one in writers:
        one.write(b"POST /faces/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")

    async def answers(path: str, status: int) -> bool:
        return (await api.get(path)).status == status

    await eventually_async(lambda: answers("/faces/jobs", 503))
    refused = await api.get("/faces/jobs")
    assert refused.status == 503 and refused.headers["Retry-After"] == "1"
    assert all([await answers(path, 200) for path in ("/faces/live", "/faces/health", "/metrics")])
    for one in writers:
        one.close()
    await eventually_async(lambda: answers("/faces/jobs", 200))


async def test_requests_over_the_rate_are_429(start: Start) -> None:
    api = await start(FACES_RATE="5")
    answers = [await api.get("/faces/jobs") for _ in range(12)]
    statuses = [answer.status for answer in answers]
    assert statuses[:10] == [200] * 10 and 429 in statuses[10:]
    refused = next(answer for answer in answers if answer.status == 429)
    assert int(refused.headers["Retry-After"]) >= 1

    async def admitted() -> bool:
        return (await api.get("/faces/jobs")).status == 200

    await eventually_async(admitted)


async def test_only_listed_origins_get_cors_headers(start: Start) -> None:
    asks = {"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}
    closed = await start()
    answer = await closed.get("/faces/jobs", headers=asks)
    assert answer.status == 200 and not [name for name in answer.headers if name.startswith("Access-Control")]
    assert (await closed.options("/faces/analyze", headers=asks)).status == 405
    listed = await start(FACES_CORS_ORIGINS="https://app.test", FACES_AUTH="off")
    preflight = await listed.options("/faces/analyze", headers=asks)
    assert preflight.status == 204 and preflight.headers["Access-Control-Allow-Origin"] == "https://app.test"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for path in ("/faces/jobs", "/nowhere"):
        answer = await listed.get(path, headers=asks)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.test"
        assert (
            "Origin" in answer.headers["Vary"] and "ETag" in answer.headers["Access-Control-Expose-Headers"]
        )
    other = await listed.get("/faces/jobs", headers={"Origin": "https://app.test.evil.test"})
    assert "Access-Control-Allow-Origin" not in other.headers and "Origin" in other.headers["Vary"]
