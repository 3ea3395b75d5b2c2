"""The API with Redis and without workers: back-pressure, an unreachable server, the documents, routes."""

import asyncio
import json
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from redis.asyncio import Redis

from api.app import create_app
from api.endpoints import ENDPOINTS
from api.openapi.examples import BODIES
from schemas.settings import Settings
from schemas.store.api_keys import Scope

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def api(valkey: str) -> AsyncIterator[Client]:
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
    settings = Settings.from_env({"REDIS_URL": valkey, "FACES_MAX_QUEUED_JOBS": "2"})
    async with TestClient(TestServer(create_app(settings))) as client:
        yield client


async def test_a_full_queue_refuses_jobs_with_retry_after(api: Client) -> None:
    for number in range(2):
        answer = await api.post("/faces/analyze", json={"video_path": f"/{number}.mp4"})
        assert answer.status == 202
    refused = await api.post("/faces/analyze", json={"video_path": "/3.mp4"})
    assert refused.status == 429 and int(refused.headers["Retry-After"]) > 0
    assert "waiting" in (await refused.json())["detail"]


async def test_jobs_queue_and_health_degrades_without_workers(api: Client) -> None:
    job_id = (await (await api.post("/faces/analyze", json={"video_path": "/1.mp4"})).json())["job_id"]
    status = await (await api.get(f"/faces/jobs/{job_id}/status")).json()
    assert (status["status"], status["progress"], status["stage"]) == ("queued", 0, "queued")
    health = await (await api.get("/faces/health")).json()
    assert health["status"] == "degraded" and health["active_jobs"] == 1
    assert health["missing"] == ["frames", "analyze", "enhance", "finalize"]
    metrics = await (await api.get("/metrics")).text()
    assert 'faces_stream_entries{stage="frames",stream="accepted"} 1.0' in metrics


async def test_an_unreachable_redis_server_is_503(api: Client) -> None:
    settings = Settings.from_env({"REDIS_URL": "redis://127.0.0.1:1/0"})
    async with TestClient(TestServer(create_app(settings))) as client:
        for answer in (
            await client.post("/faces/analyze", json={"video_path": "/1.mp4"}),
            await client.get("/faces/jobs/x/status"),
            await client.get("/faces/health"),
        ):
            assert answer.status == 503 and answer.headers["Retry-After"]


async def test_stopping_the_api_ends_event_streams(api: Client) -> None:
    job_id = (await (await api.post("/faces/analyze", json={"video_path": "/1.mp4"})).json())["job_id"]
    stream = await api.get(f"/faces/jobs/{job_id}/events")
    assert (await stream.content.readuntil(b"\n\n")).startswith(b"retry: ")
    began = asyncio.get_running_loop().time()
    await api.server.close()
    assert b"event: stage" in await stream.read()
    assert asyncio.get_running_loop().time() - began < 5


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        inner = set().union(*(references(value) for value in document.values()), set())
        return inner | ({document["$ref"]} if isinstance(document.get("$ref"), str) else set())
    return (
        set().union(*(references(item) for item in document), set()) if isinstance(document, list) else set()
    )


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
async def test_every_reference_in_the_documents_resolves(api: Client, name: str) -> None:
    document = await (await api.get(f"/faces/{name}.json")).json()
    assert document[name].startswith("3.")
    found = references(document)
    assert len(found) > 10
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


OPEN = {
    "/": "page", "/faces": "page", "/faces/": "page", "/faces/watch": "page", "/faces/operations": "page",
    "/faces/film/{job_id}": "page",
    "/faces/session": "public", "/faces/uploads": "public",
    "/faces/people": "page", "/faces/people/{person_id}": "page",
    "/faces/asyncapi.json": "public", "/faces/docs": "public", "/faces/health": "public",
    "/faces/live": "public", "/openapi.json": "public", "/faces/openapi.json": "public", "/faces/ready": "public",
}  # fmt: skip
"""All that is open to callers without a key."""


async def test_every_route_is_declared_with_its_access_and_its_place_in_the_document(api: Client) -> None:
    declared = api.app[ENDPOINTS]
    served = {
        (route.method, route.resource.canonical)
        for route in api.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == declared.keys()
    assert {path: e.access for (_, path), e in declared.items() if e.access not in get_args(Scope)} == OPEN
    document = await (await api.get("/faces/openapi.json")).json()
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert documented == {key for key, endpoint in declared.items() if endpoint.summary is not None}
    assert len(documented) > 20
    structs = {
        content["schema"]["$ref"].rpartition("/")[2]
        for item in document["paths"].values()
        for operation in item.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content.get("schema", {})
    }
    assert structs == BODIES.keys(), "a request to each endpoint can be shown"


async def test_both_spellings_are_documented(api: Client) -> None:
    schemas = (await (await api.get("/faces/openapi.json")).json())["components"]["schemas"]
    assert {"video_path", "source"} <= schemas["AnalyzeRequest"]["properties"].keys()
    assert {"min_confidence", "face_min_confidence"} <= schemas["Parameters"]["properties"].keys()
    assert schemas["Parameters"]["properties"]["sampling_interval"]["anyOf"][0]["minimum"] == 0.1


class Links(HTMLParser):
    """What a page refers to, and what it could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.to: set[str] = set()
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        attributes = dict(attrs)
        self.to |= {str(attributes[name]) for name in ("href", "src") if attributes.get(name)}
        self.ids |= {str(attributes["id"])} if "id" in attributes else set()


async def test_the_documentation_page_loads_nothing_from_elsewhere(api: Client) -> None:
    answer = await api.get("/faces/docs")
    assert answer.status == 200 and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = await answer.text()
    links = Links(text)
    assert not links.tags & {"img", "iframe", "video"}
    assert {link for link in links.to if not link.startswith("#")} == {
        "openapi.json",
        "asyncapi.json",
        "data:,",
    }
    assert {link[1:] for link in links.to if link.startswith("#")} <= links.ids
    document = await (await api.get("/faces/openapi.json")).json()
    for path, item in document["paths"].items():
        assert all(f"<b>{method.upper()}</b> <code>{path}</code>" in text for method in item)
    assert text.count("<pre tabindex=0>curl ") == 1 + sum(map(len, document["paths"].values()))
    packed = await api.get("/faces/docs", headers={"If-None-Match": answer.headers["ETag"]})
    assert packed.status == 304
    assert "faces-service:events" in text and "callback_url" in text and "min_confidence" in text


SNAPSHOTS = Path(__file__).parent / "documents"


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
async def test_the_documents_equal_their_snapshots(api: Client, name: str) -> None:
    """After a change that is meant: python -m tests.api.documents"""
    served = await (await api.get(f"/faces/{name}.json")).json()
    assert served == json.loads((SNAPSHOTS / f"{name}.json").read_text())
