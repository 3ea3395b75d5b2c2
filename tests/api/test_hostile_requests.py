"""Hostile headers, bodies and queries are answered with a 4xx, in bounded memory, and never with an error of ours."""

import asyncio
import gzip
from urllib.parse import quote

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from api.endpoints import ENDPOINTS
from schemas.names import Partitions
from tests.api.conftest import Client, Start, served

READ_HEADERS = (
    "Accept-Encoding", "Access-Control-Request-Method", "Authorization", "Content-Encoding", "Content-Length",
    "Content-Type", "Cookie", "Expect", "Host", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Origin",
    "Range", "Sec-Fetch-Site", "Transfer-Encoding", "Upgrade", "X-Request-ID", "traceparent",
)  # fmt: skip
HOSTILE = (
    b"", b" ", b"\xff\xfe", b"\xed\xa0\x80", b"a" * 8000, b"," * 8000, b"%s%n{0}{}", b'"' * 4000, b"-1", b"9" * 400,
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"bytes=0-0," * 700, b"gzip;q=" + b"9" * 400, b"*;q=1e999",
    b"gzip, " * 1000, b"W/" * 4000, b"application/json; charset=" + b"x" * 4000, b"[::1", b"http://[::1", b"\x7f",
    b"Bearer faces_a." + b"b" * 7000, b"Bearer \xff", b"Basic Og==", b"websocket", b"100-continue", b"chunked",
)  # fmt: skip
REQUESTS = (
    b"GET /faces/jobs/a/events", b"GET /faces/jobs/a/results", b"GET /faces/jobs", b"GET /faces/", b"GET /metrics",
    b"OPTIONS /faces/analyze", b"POST /faces/analyze", b"POST /faces/collections/cast/search",
)  # fmt: skip


async def status(port: int, head: bytes, body: bytes = b"") -> int:
    """Sends a request over a connection of its own; returns the status, 0 when it is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(head + b"\r\nConnection: close\r\n\r\n" + body)
    try:
        line = await asyncio.wait_for(reader.readline(), 60)
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()
    return int(line.split()[1]) if line else 0


@pytest.mark.parametrize("header", READ_HEADERS)
async def test_a_hostile_header_is_no_error_of_the_service(start: Start, valkey: str, header: str) -> None:
    with capture_logs() as logs:
        async with served(valkey) as (_, port):
            heads = [
                line + b" HTTP/1.1\r\n" + (b"" if header == "Host" else b"Host: localhost\r\n")
                + header.encode() + b": " + value
                for line in REQUESTS for value in HOSTILE
            ]  # fmt: skip
            statuses = await asyncio.gather(*(status(port, head, b'{"source": "/1"}') for head in heads))
    failed = {head[:200] for head, code in zip(heads, statuses, strict=True) if code >= 500}
    assert failed == set()
    assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (b"GET /faces/jobs?source_id=" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"too long"),
        (b"GET /faces/jobs HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n", b"too long"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"not valid HTTP"),
        (b"GET /faces/jobs HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"not valid HTTP"),
    ],
    ids=["long address", "long header", "TLS", "wrong length"],
)
async def test_what_cannot_be_read_as_a_request_is_a_problem_too(
    valkey: str, head: bytes, detail: bytes
) -> None:
    async with served(valkey) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert answer.startswith(b"HTTP/1.") and answer.split()[1] == b"400"
    assert b"application/problem+json" in answer and detail in answer and b"aaaa" not in answer


async def test_the_longest_path_fits_into_an_address(valkey: str) -> None:
    path = "/media" + quote("/\u0434" * 1360)  # 4,086 bytes
    async with served(valkey) as (_, port):
        assert await status(port, f"GET /faces/media?path={path} HTTP/1.1\r\nHost: localhost".encode()) == 404


BODY_PATHS = (
    ("POST", "/faces/analyze"), ("POST", "/faces/collections/cast/faces"), ("POST", "/faces/collections/cast/search"),
    ("PATCH", "/faces/collections/cast/people/person-" + "0" * 24), ("POST", "/faces/libraries/cast/corrections"),
    ("POST", "/faces/libraries/cast/regroup"), ("POST", "/faces/libraries/cast/search"),
    ("POST", "/faces/dead/1-1/replay"), ("PATCH", "/faces/uploads/" + "0" * 32),
)  # fmt: skip
DEEP = {"lists": b"[" * 1_000_000, "objects": b'{"a":' * 500_000, "closed": b"[" * 500_000 + b"]" * 500_000}


async def test_every_body_is_listed(start: Start) -> None:
    api = await start()
    with_body = {(e.method, e.path) for e in api.app[ENDPOINTS].values() if e.body is not None}
    assert len(with_body) == len(BODY_PATHS)


@pytest.mark.parametrize("body", [*DEEP, "a field of it"])
async def test_a_deeply_nested_body_is_400(cast: Client, body: str) -> None:
    for method, path in BODY_PATHS[:-2]:
        deep = DEEP.get(body) or b'{"label": %s}' % DEEP["closed"]
        answer = await cast.request(method, path, data=deep, headers={"Content-Type": "application/json"})
        assert answer.status in (400, 422), (path, answer.status)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"])
async def test_a_compressed_body_is_415_and_not_unpacked(valkey: str, coding: str) -> None:
    packed = gzip.compress(bytes(1 << 20))
    fields = (
        f" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
    )
    fields += f"Content-Length: {len(packed)}"
    async with served(valkey) as (_, port):
        for method, path in BODY_PATHS:
            assert await status(port, f"{method} {path}{fields}".encode(), packed) in (404, 415), path
        assert await status(port, f"POST /faces/analyze{fields}".encode(), packed) == 415
        assert await status(port, f"GET /faces/live{fields}".encode(), packed) == 200


async def test_many_parameters_are_refused(cast: Client) -> None:
    many = "&".join(f"limit{n}=1" for n in range(700))
    for path in ("/faces/jobs", "/faces/jobs/a/results", "/faces/collections/cast/people", "/faces/report"):
        for query in (
            many,
            "limit=" + "9" * 5000,
            "limit=1e999",
            "limit=%ff",
            "cursor=" + "%00" * 900,
            "jobs=" + "a," * 3000,
        ):
            answer = await cast.get(f"{path}?{query}")
            assert answer.status in (400, 404), (path, query[:20], answer.status)


@pytest.fixture
async def cast(start: Start, redis: Redis) -> Client:
    """An API with a collection and a library."""
    await redis.sadd(Partitions().home.collection_names, "cast")
    await redis.hset(Partitions().home.library_keys("cast").state, "created", "1")
    return await start()
