"""Server-sent events: many listeners, a stalled one, resuming, the limit."""

import asyncio
from typing import Any

import aiohttp
import msgspec
from redis.asyncio import Redis

from api import event_streams
from schemas.library import Correction, Name
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries, NewEntry
from tests.api.conftest import Client, Start
from tests.waiting import BOUND_SECONDS, eventually_async

LISTENERS = 200
PLACE = "/faces/jobs/job/events"


async def running(jobs: Jobs) -> None:
    request = AnalyzeRequest(video_path="/v.mp4")
    await jobs.submit(request, "job")
    await jobs.begin("job", request)
    await jobs.note("job", expected=100, units=100)


async def next_event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    while True:
        block = (await answer.content.readuntil(b"\n\n")).decode().strip()
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            return {**fields, "data": msgspec.json.decode(fields["data"])}


async def test_two_hundred_listeners_get_the_end_event_beside_a_stalled_one(start: Start, jobs: Jobs) -> None:
    await running(jobs)
    api = await start()
    _, silent = await asyncio.open_connection("127.0.0.1", api.port)
    silent.write(f"GET {PLACE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(api.make_url("/"), connector=connector) as session:
        answers = await asyncio.gather(*(session.get(PLACE.lstrip("/")) for _ in range(LISTENERS)))
        first = await asyncio.gather(*map(next_event, answers))
        assert {event["event"] for event in first} == {"stage"}
        await jobs.fail("job", "broken")
        async with asyncio.timeout(BOUND_SECONDS):
            last = await asyncio.gather(*map(next_event, answers))
        assert {(e["event"], e["data"]["status"], e["data"]["error"]) for e in last} == {
            ("end", "failed", "broken")
        }
        assert [await answer.read() for answer in answers] == [b""] * LISTENERS
    silent.close()


async def test_a_stream_resumes_after_its_last_event(start: Start, jobs: Jobs) -> None:
    await running(jobs)
    api: Client = await start()
    cut = await api.get(PLACE)
    seen = await next_event(cut)
    cut.close()
    await jobs.note("job", expected=50, units=50)
    resumed = await api.get(PLACE, headers={"Last-Event-ID": seen["id"]})
    progress = await next_event(resumed)
    assert progress["event"] == "progress" and progress["id"] != seen["id"]
    resumed.close()
    await jobs.fail("job", "broken")
    ended = await api.get(PLACE, headers={"Last-Event-ID": progress["id"]})
    end = await next_event(ended)
    assert end["event"] == "end"
    assert (await api.get(PLACE, headers={"Last-Event-ID": end["id"]})).status == 204


async def test_too_many_listeners_are_503(start: Start, jobs: Jobs) -> None:
    await running(jobs)
    api = await start()
    async with aiohttp.ClientSession(api.make_url("/"), connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(
            *(session.get(PLACE.lstrip("/")) for _ in range(event_streams.MAX_STREAMS))
        )
        refused = await api.get(PLACE)
        assert refused.status == 503 and refused.headers["Retry-After"]
        answers[0].close()

        async def admitted() -> bool:
            return (await api.get(PLACE)).status == 200

        await eventually_async(admitted)
        for answer in answers:
            answer.close()


async def test_the_events_of_a_library_are_the_entries_of_its_log(start: Start, redis: Redis) -> None:
    libraries, known = Libraries(redis, Partitions().home), ""
    api, place = await start(), "/faces/libraries/home/events"
    assert (await api.get(place)).status == 404

    async def say(entry_id: str, label: str) -> None:
        nonlocal known
        said = Correction(correction_id=label, change=Name(person_id="person-1-0-0", label=label))
        assert await libraries.append("home", known, [NewEntry(entry_id, said)], [])
        known = entry_id

    await say("1-0", "Ann")
    listening = await api.get(place)
    opened = await listening.content.readuntil(b"\n\n")
    assert await listening.content.readuntil(b"\n\n") == b"id: 1-0\n\n", f"where to resume, after {opened!r}"
    await say("2-0", "Ben")
    event = await next_event(listening)
    assert (event["id"], event["event"], event["data"]["change"]["label"]) == ("2-0", "correction", "Ben")
    listening.close()
    await say("3-0", "Cleo")
    resumed = await api.get(place, headers={"Last-Event-ID": "1-0"})
    assert [(await next_event(resumed))["data"]["change"]["label"] for _ in range(2)] == ["Ben", "Cleo"]
    resumed.close()
