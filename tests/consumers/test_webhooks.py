"""Webhooks: the end of a job is delivered to its callback URL, signed, at least once, and to no other address."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from consumers.libraries.writer import LibraryWriter
from consumers.runtime.worker import Worker
from consumers.service import Service
from consumers.stages.webhooks import MAX_ATTEMPTS, WebhooksStage
from schemas.library import Correction, Merge, Name
from schemas.library_records import Erasure
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultSummary
from schemas.settings import Settings, SettingsError
from schemas.store import dead_letters
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader
from schemas.webhooks import NotGenuine, received, received_change
from tests.chaos.libraries import film
from tests.schemas.store.records import BODY, SUMMARY
from tests.waiting import eventually_async

HOME = "127.0.0.2"  # allowed; every other address inside the network is not
OLD, SECRET = ("whsec_" + word * 8 for word in ("b2xk", "bmV3"))


class Receiver:
    """Receives webhooks and misbehaves as the path says; `addresses` are those of its host name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.deliveries: list[tuple[bytes, dict[str, str]]] = []
        self.fails = 0
        self.addresses = [HOME]

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.deliveries.append((await request.read(), {k.lower(): v for k, v in request.headers.items()}))
        if request.path == "/hangs":
            await asyncio.sleep(30)
        if request.path == "/inside":
            raise web.HTTPTemporaryRedirect("http://127.0.0.1/secret")
        if self.fails:
            self.fails -= 1
            return web.Response(status=500)
        return web.Response(status=410 if request.path == "/gone" else 204)

    async def lookup(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]


@pytest.fixture
async def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def at(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    async with TestServer(app, host=HOME) as server:
        yield f"http://hooks.test:{server.port}"


@pytest.fixture
async def service(valkey: str, at: str, receiver: Receiver) -> AsyncIterator[Service]:
    """A service with a webhooks worker of short pauses and timeouts."""
    port = at.rpartition(":")[2]
    settings = Settings.from_env(
        {
            "REDIS_URL": valkey,
            "FACES_CALLBACK_HOSTS": f"hooks.test:{port},slow.test:{port},{HOME}/32",
            "FACES_WEBHOOK_SECRET": f"{SECRET} {OLD}",
            "FACES_LIBRARY_CALLBACK": f"{at}/library",
        }
    )
    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        partitions = Partitions()
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        stage = WebhooksStage(
            service, lookup=receiver.lookup, first_retry=0.001, max_retry=0.01, response_timeout=0.5
        )
        await stage.start()
        stop = asyncio.Event()
        working = asyncio.create_task(Worker(valkey, stage, consumer="hooks", lease=0.6).run(stop))
        yield service
        stop.set()
        await working
        await stage.stop()


async def fail_job(service: Service, url: str, job_id: str = "job", error: str = "No such file ☹") -> None:
    request = AnalyzeRequest(video_path="/v.mp4", source_id="</s>", callback_url=url)
    await service.jobs.submit(request, job_id)
    await service.jobs.fail(job_id, error)


async def settled(service: Service) -> list[dead_letters.DeadLetter]:
    """The dead letters, once nothing waits for a delivery."""
    names = service.names

    async def nothing_waits() -> bool:
        async with service.redis.pipeline(transaction=True) as pipe:
            pipe.exists(f"{names.webhooks}:delayed").xlen(names.webhooks)
            return not any(await pipe.execute())

    await eventually_async(nothing_waits)
    return await dead_letters.listed(service.redis, names.dead)


async def test_a_delivery_is_signed_and_complete(service: Service, at: str, receiver: Receiver) -> None:
    await fail_job(service, f"{at}/hook?a=b")
    request = AnalyzeRequest(video_path="/v.mp4", callback_url=f"{at}/hook")
    await service.jobs.submit(request, "good")
    await service.jobs.complete("good", BODY, SUMMARY, keep=60)
    assert await settled(service) == []
    ends = {
        received(body, headers, SECRET).data.job_id: (body, headers) for body, headers in receiver.deliveries
    }
    bad, good = (received(*ends[name], SECRET) for name in ("job", "good"))
    assert (bad.type, bad.data.source_id, bad.data.error) == ("job.failed", "</s>", "No such file ☹")
    assert good.type == "job.completed" and good.data.result_summary == SUMMARY
    assert good.timestamp.endswith("+00:00") and good.data.source_id is None
    assert received(*ends["job"], OLD) == bad, "while the secret changes, both are good"


async def test_every_entry_of_a_library_is_delivered_once(service: Service, receiver: Receiver) -> None:
    writer, libraries = LibraryWriter(service), Libraries(service.redis, service.names)
    reader = LibraryReader(service.redis, service.names)
    for addition in (film(1, [1, 2]), film(2, [2, 3]), film(2, [2, 3])):  # the last one is a repetition
        await writer.add(addition)
    one, two, three = (person.person_id for person in (await reader.people("home", 10)).people)
    naming = Correction(correction_id="a", change=Name(person_id=two, label="Ann"), at=1.0)
    for order in (
        naming,
        naming,
        Correction(correction_id="b", change=Merge(person_id=one, other_id=three), at=2.0),
    ):
        assert await libraries.order("home", order)
    await writer.drain("home", last_attempt=False)
    assert await settled(service) == []
    got = [received_change(body, headers, SECRET) for body, headers in receiver.deliveries]
    log = [entry_id async for entry_id, _ in libraries.entries("home")]
    assert sorted(one.data.entry_id for one in got) == log and {one.data.library for one in got} == {"home"}
    assert len({headers["webhook-id"] for _, headers in receiver.deliveries}) == len(log) == 4
    first, second, named, merged = sorted(got, key=lambda one: one.data.entry_id)
    assert (first.type, first.data.job_id, first.data.people) == ("library.film", "job-1", sorted([one, two]))
    assert two in second.data.people and set(receiver.asked) == {"/library"}
    assert named.data.change == naming.change and merged.type == "library.correction"
    assert isinstance(merged.data.change, Merge)


async def test_what_is_erased_is_not_delivered_any_more(
    service: Service, at: str, receiver: Receiver
) -> None:
    receiver.fails = 1_000_000
    writer, libraries = LibraryWriter(service), Libraries(service.redis, service.names)
    await writer.add(film(1, [1, 2]))
    await eventually_async(lambda: _is_in("/library", receiver))
    assert await libraries.order("home", Erasure(correction_id="c"))
    await writer.drain("home", last_attempt=False)
    receiver.fails = 0
    assert await settled(service) == []
    assert await service.redis.xlen(service.names.webhooks) == 0


@pytest.mark.parametrize(
    "spoil", ["body", "webhook-id", "webhook-timestamp", "webhook-signature", "secret", "late"]
)
async def test_what_was_changed_on_the_way_is_not_genuine(
    service: Service, at: str, receiver: Receiver, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_job(service, at)
    await settled(service)
    body, headers = receiver.deliveries[0]
    if spoil == "late":
        sent = time.time()
        monkeypatch.setattr(time, "time", lambda: sent + 1000)
    elif spoil in headers:
        headers[spoil] = headers[spoil].replace(",", ",0") + "0"
    with pytest.raises(NotGenuine):
        received(
            body + b" " * (spoil == "body"), headers, SECRET[:-4] + "0000" if spoil == "secret" else SECRET
        )


async def test_a_receiver_that_fails_is_called_again_under_the_same_id(
    service: Service, at: str, receiver: Receiver
) -> None:
    receiver.fails = 3
    await fail_job(service, at)
    assert await settled(service) == []
    assert len(receiver.deliveries) == 4
    assert len({headers["webhook-id"] for _, headers in receiver.deliveries}) == 1
    assert len({body for body, _ in receiver.deliveries}) == 1


@pytest.mark.parametrize(
    ("path", "reason"), [("", "answered with status 500"), ("/hangs", "did not respond within 0.5 s")]
)
async def test_a_receiver_that_never_takes_it_makes_a_dead_letter_in_the_end(
    service: Service, at: str, receiver: Receiver, path: str, reason: str
) -> None:
    receiver.fails = 1000
    await fail_job(service, at + path)
    (letter,) = await settled(service)
    assert (letter.stage, letter.job) == ("webhooks", "job") and reason in letter.reason
    assert len(receiver.deliveries) == MAX_ATTEMPTS
    receiver.fails = 0
    if not path:
        assert await dead_letters.replay(service.redis, service.names.dead, letter) == "sent"
        assert await settled(service) == []
        assert received(*receiver.deliveries[-1], SECRET).data.job_id == "job"


@pytest.mark.parametrize(
    ("url", "reason", "asked"),
    [
        ("{at}/inside", "answered with a redirect (status 307), which webhooks do not follow", ["/inside"]),
        ("{at}/gone", "accepts no more webhooks", ["/gone"]),
        ("http://127.0.0.1:{port}/", "is inside the network (FACES_CALLBACK_HOSTS)", []),
        ("http://other.test:{port}/", "is not on a host that may be asked (FACES_CALLBACK_HOSTS)", []),
        ("http://hooks.test/", "is not on a host", []),
        ("http://a:b@hooks.test:{port}/", "carries a user name", []),
        ("http://[", "", []),
    ],
)
async def test_what_may_not_be_called_is_refused_at_once(
    service: Service, at: str, receiver: Receiver, url: str, reason: str, asked: list[str]
) -> None:
    await fail_job(service, url.format(at=at, port=at.rpartition(":")[2]))
    (letter,) = await settled(service)
    assert reason in letter.reason and receiver.asked == asked


async def test_a_name_that_leads_inside_is_refused(service: Service, at: str, receiver: Receiver) -> None:
    receiver.addresses = ["127.0.0.1"]
    await fail_job(service, at)
    (letter,) = await settled(service)
    assert "leads to 127.0.0.1, which is inside the network" in letter.reason and receiver.asked == []


async def test_every_end_is_delivered_once(service: Service, at: str, receiver: Receiver) -> None:
    """Followers of a job, one that left, and one that is answered from the cache."""
    jobs = service.jobs
    for job in ("leads", "follows", "leaves", "later"):
        request = AnalyzeRequest(video_path="/v.mp4", source_id=job, callback_url=f"{at}/{job}")
        await jobs.submit(request, job)
        await jobs.begin(job, request)
        if job != "later":
            await jobs.join(job, "faces:cache:k:job_id", 60)
    await jobs.cancel("leaves")
    await jobs.cancel("leads")
    await jobs.complete("leads", BODY, SUMMARY, keep=60)
    assert await jobs.join("later", "faces:cache:k:job_id", 60)
    assert await settled(service) == []
    ends = [received(*delivery, SECRET).data for delivery in receiver.deliveries]
    assert sorted((end.job_id, end.status) for end in ends) == [
        ("follows", "completed"), ("later", "completed"), ("leads", "cancelled"), ("leaves", "cancelled"),
    ]  # fmt: skip
    assert all(end.source_id == end.job_id for end in ends)
    summaries: dict[str, ResultSummary | None] = {end.job_id: end.result_summary for end in ends}
    assert summaries["follows"] == summaries["later"] == SUMMARY and summaries["leads"] is None
    events: Any = await service.redis.xrange(service.names.events)
    published = sorted((fields[b"job_id"].decode(), fields[b"status"].decode()) for _, fields in events)
    assert published == sorted((end.job_id, end.status) for end in ends)


async def test_a_job_without_a_callback_delivers_nothing(service: Service, receiver: Receiver) -> None:
    await service.jobs.submit(AnalyzeRequest(video_path="/v.mp4"), "quiet")
    await service.jobs.fail("quiet", "broken")
    assert await settled(service) == [] and receiver.deliveries == []


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"FACES_CALLBACK_HOSTS": "a.test"}, "FACES_WEBHOOK_SECRET: required"),
        ({"FACES_CALLBACK_HOSTS": "http://a.test"}, "FACES_CALLBACK_HOSTS"),
        ({"FACES_WEBHOOK_SECRET": "secret"}, "whsec_"),
        ({"FACES_WEBHOOK_SECRET": "whsec_c2hvcnQ="}, "24"),
    ],
)
async def test_a_stage_that_could_not_sign_does_not_start(
    service: Service, environment: dict[str, str], problem: str
) -> None:
    settings = Settings.from_env(environment)
    other = Service(service.redis, service.names, settings, service.jobs, service.partitions)
    with pytest.raises(SettingsError, match=problem):
        WebhooksStage(other)


def test_the_headers_are_those_of_standard_webhooks() -> None:
    """Signed by the reference library, standardwebhooks 1.1."""
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,FXxR7vTv/m/K72sQGm4Gw8hOJQ1kQwlreC9qXac3MVk=",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 1614265330.0)
        with pytest.raises(NotGenuine, match="missing required field"):  # the signature is right
            received(body, headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLJQQ")


async def test_a_receiver_that_hangs_delays_no_other(service: Service, at: str, receiver: Receiver) -> None:
    for number in range(200):
        await fail_job(service, f"{at.replace('hooks', 'slow')}/hangs", f"slow-{number}")
    await fail_job(service, f"{at}/hook", "quick")
    await eventually_async(lambda: _is_in("/hook", receiver))
    assert receiver.asked.index("/hook") < 32, "it does not come after what filled all slots of the stage"


async def _is_in(path: str, receiver: Receiver) -> bool:
    return path in receiver.asked
