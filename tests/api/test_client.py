"""The client package against the API alone: retries, timeouts, an unreachable service."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from compose.server import free_port
from consumers.libraries.writer import LibraryWriter
from consumers.service import Service
from schemas.client import AnalyzeRequest, AsyncClient, AsyncPublisher, Client, FacesError, QueueFull
from schemas.library import Merge, Name
from schemas.library_view import LibraryEvent
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.api.conftest import Start
from tests.chaos.libraries import NAME, film


async def test_jobs_are_submitted_followed_listed_and_ended(start: Start, jobs: Jobs) -> None:
    api = await start()
    async with AsyncClient(str(api.make_url("/"))) as client:
        names = [f"job-{number}" for number in range(60)]
        for name in names:
            request = AnalyzeRequest(video_path="/v.mp4", job_id=name, source_id=name[-1])
            assert (await client.submit(request)).job_id == name
        assert sorted([job.job_id async for job in client.jobs()]) == sorted(names)
        assert len([job async for job in client.jobs(source_id="3", status="queued")]) == 6
        following = asyncio.create_task(client.ended("job-0"))
        assert (await client.cancel("job-0")).status == "cancelled"
        assert (await following).status == "cancelled"
        with pytest.raises(FacesError, match="409 Conflict: Job job-0 is cancelled; only the result"):
            await client.keep("job-0")
        await client.delete("job-0")
        with pytest.raises(FacesError, match="404 Not Found: There is no job 'job-0'"):
            await client.status("job-0")
        with pytest.raises(FacesError) as refused:
            await client.submit(AnalyzeRequest(video_path="/v.mp4", priority="urgent"))  # type: ignore[arg-type]
        assert refused.value.problem.field == "priority" and refused.value.problem.allowed


async def test_the_blocking_client_works_in_a_thread_beside_a_loop(start: Start) -> None:
    api = await start()

    def blocking() -> None:
        with Client(str(api.make_url("/"))) as client:
            job_id = client.submit(AnalyzeRequest(video_path="/v.mp4")).job_id
            events = client.events(job_id)
            assert next(events).status == "queued"
            client.cancel(job_id)
            assert [event.status for event in events] == ["cancelled"]
            assert [job.job_id for job in client.jobs()] == [job_id]
            assert client.health().status == "degraded"

    await asyncio.to_thread(blocking)


class Flaky:
    """Answers 503, breaks the connection, then answers; counts what reaches it."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def analyze(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        if len(self.keys) == 1:
            return web.Response(status=503, headers={"Retry-After": "0"})
        if len(self.keys) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"job_id": "a", "status": "queued", "created_at": "now"}, status=202)


@pytest.fixture
async def flaky() -> AsyncIterator[tuple[str, Flaky]]:
    double, app = Flaky(), web.Application()
    app.router.add_post("/faces/analyze", double.analyze)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), double


async def test_submitting_is_retried_with_the_same_idempotency_key(flaky: tuple[str, Flaky]) -> None:
    url, double = flaky
    async with AsyncClient(url) as client:
        assert (await client.submit(AnalyzeRequest(video_path="/v.mp4"))).job_id == "a"
    assert len(double.keys) == 3 and len(set(double.keys)) == 1


async def test_the_client_gives_up_on_an_unreachable_service(flaky: tuple[str, Flaky]) -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", patience=0.5) as client:
        with pytest.raises(OSError, match="Connect"):
            await client.health()


async def test_publishing_waits_while_the_queue_is_full_and_times_out(valkey: str, jobs: Jobs) -> None:
    async with AsyncPublisher(valkey, max_queued=2, patience=0.3) as publisher:
        for number in range(2):
            await publisher.submit(AnalyzeRequest(video_path=f"/{number}.mp4"))
        with pytest.raises(QueueFull):
            await publisher.submit(AnalyzeRequest(video_path="/2.mp4"))
    async with AsyncPublisher(valkey, max_queued=2) as publisher:
        waiting = asyncio.create_task(publisher.submit(AnalyzeRequest(video_path="/3.mp4")))
        with Redis.from_url(valkey) as server:
            server.delete("faces:requests")
        assert (await waiting).status == "queued"


def blocking_event(url: str, happened: list[LibraryEvent]) -> None:
    with Client(url) as client:
        assert next(client.library(NAME).events(happened[0].entry_id)) == happened[1]


async def test_a_library_is_read_and_corrected(start: Start, jobs: Jobs, redis: AsyncRedis) -> None:
    settings, partitions = Settings.from_env({}), Partitions()
    writer = LibraryWriter(Service(redis, partitions.home, settings, jobs, partitions))
    for number, people in enumerate(([1, 2], [2, 3])):
        await writer.add(film(number, people))
    api = await start()

    def blocking() -> str:
        with Client(str(api.make_url("/"))) as client:
            library = client.library(NAME)
            one, both, _ = library.people()
            assert library.info().films == 2 and [seen.source for seen in library.appearances(both.person_id)] == [
                "/films/0.mp4", "/films/1.mp4",
            ]  # fmt: skip
            assert len(library.together(both.person_id).together) == 2
            (shared,) = library.films(both.person_id, one.person_id)
            assert len(library.film(shared.film_id).people) == 2 and library.suggestions().total == 0
            assert both.portrait is not None and library.picture(both.portrait).startswith(b"JPEG")
            assert library.correct(Name(person_id=one.person_id, label="Ann")) is None, "no worker runs"
            assert library.info().waiting == 1
            return one.person_id

    person_id = await asyncio.to_thread(blocking)
    await writer.drain(NAME, last_attempt=False)
    async with AsyncClient(str(api.make_url("/"))) as client:
        library = client.library(NAME)
        assert [one.person_id async for one in library.people(text="ann")] == [person_id]
        place = f"/faces/libraries/{NAME}/people"
        tag = (await api.get(place)).headers["ETag"]
        assert (await api.get(place, headers={"If-None-Match": tag})).status == 304
        assert (await api.get(f"{place}?limit=1", headers={"If-None-Match": tag})).status == 200
        (said,) = [one async for one in library.corrections()]
        assert said.change == Name(person_id=person_id, label="Ann")
        await library.erase_person(person_id)
        await writer.drain(NAME, last_attempt=False)
        assert (await api.get(place, headers={"If-None-Match": tag})).status == 200, "it has changed"
        kept, other = [one.person_id async for one in library.people()]
        await library.correct(Merge(person_id=kept, other_id=other))
        await writer.drain(NAME, last_attempt=False)
        events = library.events(said.entry_id)
        happened = [await anext(events) for _ in range(2)]
        assert [one.kind for one in happened] == ["erased", "correction"]
        assert happened[1].change == Merge(person_id=kept, other_id=other)
        await asyncio.to_thread(blocking_event, str(api.make_url("/")), happened)
        moved = await api.get(f"{place}/{other}/appearances?limit=1", allow_redirects=False)
        assert (moved.status, moved.headers["Location"]) == (307, f"../{kept}/appearances?limit=1")
        assert (await library.person(other)).person_id == kept, "the address leads there"
        with pytest.raises(FacesError, match="has no person"):
            await library.person(person_id)
