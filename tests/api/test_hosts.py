"""Host and Origin headers without keys: DNS rebinding, cross-site requests, forms; aborted bodies."""

import asyncio
from collections.abc import Mapping

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from api.hosts import is_allowed_host
from api.limits import CONCURRENCY_LIMIT
from api.metrics import registry
from schemas.settings import Settings
from tests.api.conftest import Client, Start, served
from tests.waiting import eventually_async

REQUEST = {"video_path": "/1.mp4"}


async def status(api: Client, method: str, headers: Mapping[str, str]) -> int:
    if method == "POST":
        return (await api.post("/faces/analyze", json=REQUEST, headers=headers)).status
    return (await api.get("/faces/jobs", headers=headers)).status


@pytest.mark.parametrize(
    ("host", "listens_on", "listed", "allowed"),
    [
        ("localhost", "127.0.0.1", "", True), ("LOCALHOST:5003", "127.0.0.1", "", True),
        ("127.0.0.1:5003", "127.0.0.1", "", True), ("[::1]:5003", "127.0.0.1", "", True),
        ("faces.localhost", "127.0.0.1", "", True), ("localhost.", "127.0.0.1", "", True),
        ("evil.test", "127.0.0.1", "", False), ("evil.test:5003", "127.0.0.1", "", False),
        ("localhost.evil.test", "127.0.0.1", "", False), ("127.0.0.1.evil.test", "127.0.0.1", "", False),
        ("localhost@evil.test", "127.0.0.1", "", False), ("evil.test/localhost", "127.0.0.1", "", False),
        ("evil.test#localhost", "127.0.0.1", "", False), ("", "127.0.0.1", "", False),
        ("192.168.1.9", "127.0.0.1", "", False), ("faces", "127.0.0.1", "", False),
        ("faces", "127.0.0.1", "Faces, faces.lan", True), ("faces.lan:80", "127.0.0.1", "faces,faces.lan", True),
        ("other.lan", "127.0.0.1", "faces,faces.lan", False),
        ("api:5003", "0.0.0.0", "", True), ("10.0.0.7:5003", "0.0.0.0", "", True),
        ("evil.test", "0.0.0.0", "", False), ("box.lan", "box.lan", "", True),
    ],
)  # fmt: skip
def test_without_keys_a_host_header_must_name_this_service(
    host: str, listens_on: str, listed: str, allowed: bool
) -> None:
    settings = Settings.from_env({"FACES_HOST": listens_on, "FACES_API_HOSTS": listed})
    assert is_allowed_host(host, settings) is allowed


async def test_a_rebound_name_reads_and_changes_nothing(start: Start) -> None:
    api = await start()
    for host in ("evil.test", f"evil.test:{api.port}"):
        for method in ("GET", "POST"):
            assert await status(api, method, {"Host": host}) == 403
            assert await status(api, method, {"Host": host, "Origin": f"http://{host}"}) == 403
        page = await api.get("/faces/", headers={"Host": host})
        assert page.status == 403 and "FACES_API_HOSTS" in (await page.json(content_type=None))["detail"]
    assert (await (await api.get("/faces/jobs")).json())["jobs"] == []


async def test_a_changing_request_comes_from_this_very_origin(start: Start) -> None:
    api = await start()
    here = f"127.0.0.1:{api.port}"
    foreign = [
        "null", "", "http://127.0.0.1", f"http://127.0.0.1:{int(api.port or 0) + 1}", f"https://{here}",
        f"http://localhost:{api.port}", f"http://{here}.evil.test", f"http://evil.test@{here}", f"http://{here}/x",
    ]  # fmt: skip
    for origin in foreign:
        assert await status(api, "POST", {"Origin": origin}) == 403, origin
        assert (await api.post("/faces/jobs/x/cancel", headers={"Origin": origin})).status == 403
        assert (await api.delete("/faces/jobs/x", headers={"Origin": origin})).status == 403
        assert await status(api, "GET", {"Origin": origin}) == 200
    assert await status(api, "POST", {"Origin": f"http://{here}"}) == 202
    assert await status(api, "POST", {}) == 202
    listed = await start(FACES_CORS_ORIGINS="https://app.test")
    assert await status(listed, "POST", {"Origin": "https://app.test"}) == 202
    assert await status(listed, "POST", {"Origin": "https://other.test"}) == 403


async def test_a_form_is_not_json(start: Start) -> None:
    api = await start()
    places = [("POST", "/faces/analyze"), ("POST", "/faces/collections/cast/faces")]
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"):
        for method, place in places:
            answer = await api.request(method, place, data=b"{}", headers={"Content-Type": type_})
            assert answer.status == 415, (place, type_)
    for type_ in ("application/json; charset=utf-8", "application/vnd.faces+json"):
        answer = await api.post("/faces/analyze", data=b'{"source": "/1"}', headers={"Content-Type": type_})
        assert answer.status == 202


def disconnected() -> float:
    """Requests that were counted as given up by their client."""
    labels = {"method": "POST", "route": "/faces/analyze", "status": "499"}
    return registry.get_sample_value("faces_http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
async def test_a_client_that_goes_away_is_no_error(
    valkey: str, redis: Redis, caplog: pytest.LogCaptureFixture, framing: str
) -> None:
    head = f"POST /faces/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}"
    before = disconnected()
    with capture_logs() as logs:
        async with served(valkey) as (app, port):
            writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(20)]
            for writer in writers:
                writer.write(head.encode())
            await eventually_async(lambda: app[CONCURRENCY_LIMIT].active == 20)
            for writer in writers:
                writer.transport.abort()
            await eventually_async(lambda: disconnected() == before + 20)
    assert {entry["log_level"] for entry in logs} <= {"debug"}
    assert caplog.records == []
