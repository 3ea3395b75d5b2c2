"""What browsers are answered in place of problem details: pages for people, nothing that they log for our pages."""

from io import BytesIO

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from PIL import Image
from redis.asyncio import Redis

from api.pages.page import data_of
from api.queries import QueryError
from api.thumbnails import send_picture
from schemas.names import Partitions
from schemas.store.api_keys import ApiKeys
from tests.api.conftest import Start

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "environment", "headers", "status", "root"),
    [
        ("/faces/nothing", {}, {}, 404, "./"), ("/faces/jobs/gone/report", {}, {}, 404, "./../../"),
        ("/persons/a%2Fb/c", {}, {}, 404, "../../faces/"), ("/faces/film/", {}, {}, 404, "./../"),
        ("/faces/analyze", {}, {}, 405, "./"), ("/faces/report?jobs=,", {}, {}, 400, "./"),
        ("/faces/jobs", {"FACES_AUTH": "required"}, {}, 401, "./"),
        ("/faces/people", {}, {"Host": "elsewhere.example"}, 403, "./"),
        ("/faces/jobs", {"REDIS_URL": "redis://127.0.0.1:1/0"}, {}, 503, "./"),
    ],
)  # fmt: skip
async def test_a_person_gets_a_page_and_everybody_else_problem_details(
    start: Start,
    redis: Redis,
    path: str,
    environment: dict[str, str],
    headers: dict[str, str],
    status: int,
    root: str,
) -> None:
    await ApiKeys(redis, Partitions().home).create("viewer", ("read",))
    api = await start(**environment)
    plain = await api.get(path, headers=headers)
    assert (plain.status, plain.content_type) == (status, "application/problem+json")
    problem = await plain.json()
    for accept in ("application/json", "*/*", "text/html;q=0.5, application/json"):
        assert (
            await api.get(path, headers=headers | {"Accept": accept})
        ).content_type == "application/problem+json"
    page = await api.get(path, headers=headers | BROWSER)
    assert (page.status, page.content_type) == (status, "text/html")
    html = await page.read()
    said = msgspec.json.decode(data_of(html) or b"")
    assert said["status"] == status and said["detail"].endswith(problem["detail"])
    assert f'data-root="{root}"'.encode() in html, "its links lead to the pages"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers.get("WWW-Authenticate") == plain.headers.get("WWW-Authenticate")


async def test_what_a_page_asks_for_may_be_gone_without_an_error_of_the_page(start: Start) -> None:
    api = await start()
    ours = {"Faces-Page": "1"}
    for method, path, status in (
        ("GET", "/faces/jobs/gone/results", 404), ("POST", "/faces/jobs/gone/cancel", 404),
        ("GET", "/faces/libraries/gone/people", 404), ("GET", "/faces/jobs?limit=0", 400),
        ("GET", "/faces/nothing", 404), ("DELETE", "/faces/analyze", 405),
    ):  # fmt: skip
        plain = await api.request(method, path)
        answer = await api.request(method, path, headers=ours)
        assert (plain.status, answer.status) == (status, 200)
        assert await answer.json() == await plain.json() and answer.content_type == plain.content_type
        assert answer.headers["Cache-Control"] == "no-store"
    for path in ("faces/face_0/thumbnail", "faces/face_0/strip", "media"):
        assert (await api.get(f"/faces/jobs/gone/{path}")).status == 404
        empty = await api.get(f"/faces/jobs/gone/{path}?blank=1")
        assert (empty.status, await empty.read()) == (204, b"")
    assert (await api.get("/faces/jobs/gone/results?blank=1")).status == 400, "of pictures and films alone"
    counted = await (await api.get("/metrics")).text()
    line = 'route="/faces/jobs/{job_id}/results",status="404"'
    assert f'faces_http_requests_total{{method="GET",{line}}} 2.0' in counted, "the real status"
    away = await start(REDIS_URL="redis://127.0.0.1:1/0")
    assert (await away.get("/faces/jobs", headers=ours)).status == 503


async def test_a_picture_is_as_wide_as_it_is_shown() -> None:
    jpeg = BytesIO()
    Image.effect_noise((200, 200), 50).convert("RGB").save(jpeg, "JPEG")
    for query, accept, kind, side in (
        ("?width=64", "image/webp,*/*", "webp", 64), ("?width=64", "*/*", "jpeg", 200),
        ("", "image/webp", "jpeg", 200), ("?width=0", "image/webp", "webp", 16),
        ("?width=9999", "image/webp", "webp", 200),
    ):  # fmt: skip
        request = make_mocked_request("GET", f"/x{query}", headers={"Accept": accept})
        answer = await send_picture(request, jpeg.getvalue(), {})
        assert answer.content_type == f"image/{kind}" and answer.headers["Vary"] == "Accept"
        assert isinstance(answer.body, bytes) and Image.open(BytesIO(answer.body)).size == (side, side)
    for width in ("wide", "-1", "", "٣", "99999"):
        with pytest.raises(QueryError, match="width"):
            await send_picture(make_mocked_request("GET", f"/x?width={width}"), jpeg.getvalue(), {})
